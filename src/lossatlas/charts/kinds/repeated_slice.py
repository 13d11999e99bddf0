"""Several slices around one network as one chart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lossatlas.charts.around import HeldDirections
from lossatlas.charts.chart import axes_named, checked_coords
from lossatlas.errors import BadInput
from lossatlas.schema import REPEAT

__all__ = ["RepeatedSlice"]


class RepeatedSlice(HeldDirections):
    """``w(c, k) = origin + sum_i c_i d_ki``: slices along other directions d_k each, numbered by the last coordinate.

    Args:
        origin: (n,).
        directions: (D, d, n).

    Raises:
        BadInput: shapes do not fit, or a direction is zero.
    """

    def __init__(self, origin: Tensor, directions: Tensor) -> None:
        super().__init__(origin, directions, "D, d, n")
        self.axes = (*axes_named(directions.shape[1]), REPEAT)

    @property
    def repeats(self) -> int:
        """How many there are."""
        return len(self.directions)

    def coefficients(self, coords: Tensor) -> Tensor:
        coords = checked_coords(coords, self.axes)
        along = self._which(coords)[:, :, None] * coords[:, None, :-1]
        return torch.cat([coords.new_ones(len(coords), 1), along.flatten(1)], dim=1)

    def derivatives(self, coords: Tensor) -> Tensor:
        """Those along the axes of the slice a point is on; NaN along the last, which numbers repeats and has none."""
        coords = checked_coords(coords, self.axes)
        d = coords.shape[1] - 1
        own = torch.einsum("pr,ij->prij", self._which(coords), torch.eye(d).to(coords)).flatten(1, 2)
        slopes = torch.cat([coords.new_zeros(len(coords), 1, d), own], dim=1)
        return torch.cat([slopes, torch.full_like(slopes[:, :, :1], torch.nan)], dim=2)

    def _which(self, coords: Tensor) -> Tensor:
        """Ones at the slice (P, D) that each point is on.

        Raises:
            BadInput: a number is not that of a repeat.
        """
        drawn = coords[:, -1]
        if not torch.equal(drawn, drawn.round()) or not ((drawn >= 0) & (drawn < self.repeats)).all():
            raise BadInput(f"repeats are numbered 0 to {self.repeats - 1}; got {sorted(set(drawn.tolist()))}")
        return one_hot(drawn.long(), self.repeats).to(coords)
