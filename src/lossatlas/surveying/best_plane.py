"""The plane that lies nearest to a curve."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossatlas.charts import CoefficientChart, Slice
from lossatlas.errors import BadInput

__all__ = ["BestPlane", "best_plane"]

FLAT = 1e-6
"""A curve whose second extent is smaller than this share of its first is straight."""


@dataclass(frozen=True)
class BestPlane:
    """A plane, and where the points of a curve lie over it."""

    chart: Slice
    """Through the middle of the points, along their first two principal directions, in units of weight space."""
    coords: Tensor
    """(T, 2), float64: the points' projections."""
    distances: Tensor
    """(T,), float64: of the points from the plane."""

    def over(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (K, 2) of the projections of weight vectors (K, n), and their distances (K,), float64."""
        away = weights.double() - self.chart.origin.double()
        coords = away @ self.chart.directions.double().T
        rest = away - coords @ self.chart.directions.double()
        return coords.cpu(), rest.norm(dim=1).cpu()


def best_plane(curve: CoefficientChart, coords: Tensor) -> BestPlane:
    """The plane with the least squared distances from points of a chart (singular value decomposition).

    It comes from scalar products of the controls; the points themselves are never formed.

    Args:
        curve: the chart.
        coords: (T, d).

    Raises:
        BadInput: the points lie on a line, so that no plane is nearest.
    """
    with torch.no_grad():
        controls = curve.controls()
        wide = controls.double()
        shares = curve.coefficients(coords.double().to(wide.device))
    away = shares - shares.mean(dim=0)
    values, vectors = torch.linalg.eigh(away @ (wide @ wide.T) @ away.T)
    extents = values.clamp(min=0).sqrt()
    if not extents[-2] > FLAT * extents[-1]:
        raise BadInput("the curve is a straight line, through which there are many planes; train it for longer")
    # A sign of their own: the curve rises from left to right, and bends upwards.
    first, second = vectors[:, -1], vectors[:, -2]
    first = -first if first[-1] < first[0] else first
    second = -second if second[len(second) // 2] < second[[0, -1]].mean() else second
    chosen, lengths = torch.stack([first, second]), extents[[-1, -2]]
    directions = (chosen @ away / lengths[:, None]) @ wide
    origin = shares.mean(dim=0) @ wide
    at = (chosen * lengths[:, None]).T
    rest = (vectors[:, :-2] * extents[:-2]).square().sum(dim=1).sqrt()
    return BestPlane(Slice(origin.to(controls), directions.to(controls)), at.cpu(), rest.cpu())
