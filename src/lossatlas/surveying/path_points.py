"""Points of a chart that are never formed: distances come from scalar products of the controls."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lossatlas.charts import CoefficientChart, check_controls
from lossatlas.linalg import form_gram

__all__ = ["PathPoints", "locate_points", "measure_distances", "measure_norms"]


class PathPoints(NamedTuple):
    """Weight vectors ``coefficients @ controls``."""

    coefficients: Tensor
    """(P, m)."""
    controls: Tensor
    """(m, n)."""

    def form_first(self) -> Tensor:
        """The first of the weight vectors, (n,)."""
        return self.coefficients[0] @ self.controls


def locate_points(chart: CoefficientChart, coords: Tensor) -> PathPoints:
    """The points of a chart at coordinates (P, d), without gradients."""
    check_controls(chart, "a path of points")
    with torch.no_grad():
        controls = chart.controls()
        return PathPoints(chart.mixture(coords, controls), controls)


def measure_norms(points: PathPoints) -> Tensor:
    """The Euclidean norms (P,), float64, on the CPU."""
    return _roots(points.coefficients.double().cpu(), form_gram(points.controls))


def measure_distances(points: PathPoints, others: PathPoints) -> Tensor:
    """The Euclidean distance (P,), float64, on the CPU, of each point from the nearest of the others."""
    gram = form_gram(points.controls, others.controls)
    mine, theirs = (part.coefficients.double().cpu() for part in (points, others))
    left = torch.cat([mine, mine.new_zeros(len(mine), theirs.shape[1])], dim=1)
    right = torch.cat([theirs.new_zeros(len(theirs), mine.shape[1]), theirs], dim=1)
    return torch.stack([_roots(left - row, gram) for row in right]).min(dim=0).values


def _roots(coefficients: Tensor, gram: Tensor) -> Tensor:
    return ((coefficients @ gram) * coefficients).sum(dim=1).clamp(min=0).sqrt()
