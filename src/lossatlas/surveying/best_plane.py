"""The plane of a curve: the one that it lies in, or the one that lies nearest to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossatlas.charts import CoefficientChart, Curve, Slice, Through
from lossatlas.errors import BadInput
from lossatlas.linalg import combine, form_gram

__all__ = ["BestPlane", "CurveInPlane", "find_best_plane", "find_plane"]

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

    def project(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Project weight vectors (K, n) onto it: their coordinates (K, 2) and distances from it (K,), float64."""
        gram = form_gram(weights, self.chart.origin[None], self.chart.directions)
        count = len(weights)
        coords = gram[:count, count + 1 :] - gram[count, count + 1 :]
        away = gram.diagonal()[:count] - 2 * gram[:count, count] + gram[count, count]
        return coords, (away - coords.square().sum(dim=1)).clamp(min=0).sqrt()


def find_best_plane(curve: CoefficientChart, coords: Tensor) -> BestPlane:
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
        shares = curve.coefficients(coords.double().to(controls.device)).cpu()
    away = shares - shares.mean(dim=0)
    values, vectors = torch.linalg.eigh(away @ form_gram(controls) @ away.T)
    extents = values.clamp(min=0).sqrt()
    if not extents[-2] > FLAT * extents[-1]:
        raise _straight()
    # A sign of their own: the curve rises from left to right, and bends upwards.
    first, second = vectors[:, -1], vectors[:, -2]
    first = -first if first[-1] < first[0] else first
    second = -second if second[len(second) // 2] < second[[0, -1]].mean() else second
    chosen, lengths = torch.stack([first, second]), extents[[-1, -2]]
    directions = combine(chosen @ away / lengths[:, None], controls)
    origin = combine(shares.mean(dim=0, keepdim=True), controls)[0]
    at = (chosen * lengths[:, None]).T
    rest = (vectors[:, :-2] * extents[:-2]).square().sum(dim=1).sqrt()
    return BestPlane(Slice(origin, directions), at, rest)


@dataclass(frozen=True)
class CurveInPlane:
    """The plane of a curve, and what lies over it."""

    chart: CoefficientChart
    labels: Mapping[str, str]
    """What its axes are called."""
    coords: Tensor
    """(T, 2), float64: the curve's projections."""
    distances: Tensor
    """(T,), float64: of the curve from the plane."""
    networks: Tensor
    """(k, 2), float64: projections of the networks that it joins."""
    network_distances: Tensor
    """(k,), float64: of these from the plane."""
    corners: Tensor
    """(c, 2), float64: what a picture should show beside the curve: networks, and a bend where there is only one."""

    def make_grid(self, points: int, margin: float) -> dict[str, npt.NDArray[np.float64]]:
        """So many coordinates along each axis, beyond what is to be shown by a share of its extent."""
        shown = torch.cat([self.coords, self.corners])
        low, high = shown.min(dim=0).values, shown.max(dim=0).values
        reach = margin * (high - low)
        ends = zip(self.chart.axes, (low - reach).tolist(), (high + reach).tolist(), strict=True)
        return {axis: np.linspace(first, last, points) for axis, first, last in ends}


def find_plane(curve: Curve, networks: Tensor, coords: Tensor) -> CurveInPlane:
    """The plane of a curve between networks.

    With one bend between two networks that stayed it is the plane through these three, the straight line its first
    axis; otherwise :func:`find_best_plane`.

    Args:
        curve: the chart.
        networks: (k, n), which it was to join.
        coords: (T, 1).

    Raises:
        BadInput: the curve is a straight line.
    """
    if curve.degree == 2 and len(networks) == 2 and bool(curve.held[[0, -1]].all()):
        with torch.no_grad():
            first, bend, last = curve.controls()
        try:
            through = Through(torch.stack([first, last, bend]))
        except BadInput as error:
            raise _straight() from error
        ends = through.corner_coords().cpu()
        # Coefficients are affine, so coordinates are mixed as weights are.
        at = curve.coefficients(coords.double()) @ ends[[0, 2, 1]]
        labels = {"u": "distance along the straight line", "v": "distance across it"}
        return CurveInPlane(through, labels, at, at.new_zeros(len(at)), ends[:2], at.new_zeros(2), ends)
    nearest = find_best_plane(curve, coords)
    labels = {axis: f"principal direction {k + 1} of the curve" for k, axis in enumerate(nearest.chart.axes)}
    over, away = nearest.project(networks)
    return CurveInPlane(nearest.chart, labels, nearest.coords, nearest.distances, over, away, over)


def _straight() -> BadInput:
    return BadInput("the curve is a straight line, through which there are many planes; train it for longer")
