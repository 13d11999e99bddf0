"""Products with coefficients most of which are zero, as those of splines, of single networks and of corners are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

__all__ = ["DENSITIES", "SparseShares"]

DENSITIES = {torch.float32: 1 / 4, torch.float64: 1 / 10}
"""The largest share of coefficients that are not zero for which it pays to leave out the others.

Measured by benchmarks/mixing.py: of dense products, sparse matrices (CSR), dense products with the controls that a
chunk touches, and sums of rows by ``embedding_bag``, the last were the fastest in either direction. A chunk of many
points touches most of a spline's controls, so that leaving out the others saves little there; sparse matrices are slow
where a parameter is a slice of the controls. Sums of rows have a kernel of their own in 32 bits, hence two numbers.
"""


@dataclass(frozen=True)
class SparseShares:
    """Coefficients (P, m), most of which are zero, by the places of those that are not.

    A control that no point of a chunk touches is not read, so that it cannot make a point infinite or NaN either.
    """

    points: Tensor
    """(q,), the point of each coefficient that is not zero, in their order."""
    controls: Tensor
    """(q,), its control."""
    values: Tensor
    """(q,)"""
    count: int
    """The number P of points."""

    @classmethod
    def of(cls, coefficients: Tensor, *others: Tensor) -> Self | None:
        """Find where coefficients (P, m) are not zero; None where dense products are as fast, or have to do the work.

        They do so on a GPU, where the CPU would have to wait for the number of coefficients, and where a gradient is
        recorded.

        Args:
            coefficients: (P, m).
            others: what they will be multiplied with, and what that is added to.
        """
        most = DENSITIES.get(coefficients.dtype, 0.0)
        # With fewer controls than this, as of a plane, a point that touches a single one is too dense.
        if most * coefficients.shape[1] < 1 or not len(coefficients):
            return None
        tensors = (coefficients, *others)
        if any(one.device.type != "cpu" or one.dtype != coefficients.dtype for one in tensors):
            return None
        if torch.is_grad_enabled() and any(one.requires_grad for one in tensors):
            return None
        there = coefficients != 0
        if int(there.count_nonzero()) > most * coefficients.numel():
            return None
        points, controls = there.nonzero(as_tuple=True)
        return cls(points, controls, coefficients[points, controls], len(coefficients))

    def mix(self, controls: Tensor) -> Tensor:
        """Compute coefficients (P, m) @ controls (m, n), (P, n)."""
        begins = torch.searchsorted(self.points, torch.arange(self.count))
        return embedding_bag(self.controls, controls, begins, mode="sum", per_sample_weights=self.values)

    def fold(self, gradients: Tensor, into: Tensor) -> None:
        """Add coefficients.T (m, P) @ gradients (P, n) to ``into`` (m, n)."""
        order = self.controls.argsort(stable=True)
        counts = self.controls.bincount()
        touched = counts.nonzero()[:, 0]
        begins = (counts.cumsum(dim=0) - counts)[touched]
        points, values = self.points[order], self.values[order]
        into.index_add_(0, touched, embedding_bag(points, gradients, begins, mode="sum", per_sample_weights=values))
