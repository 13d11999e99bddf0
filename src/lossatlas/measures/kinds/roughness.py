"""The roughness of a surface, compared to a smooth bowl."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossatlas.measures.measure import Measure, Value
from lossatlas.measures.merge_tree import merge_tree
from lossatlas.measures.surface import Floats, Surface

__all__ = ["Roughness"]


@dataclass(frozen=True)
class Roughness(Measure):
    """The variation of the loss along the lines of the grid. Numbers have no unit, unless stated otherwise.

    - ``roughness_total_variation``: the mean, over all lines of the grid along all axes, of the sum of ``|dL|`` along
      the line by the range of L on it (the normalised total variation of Wu et al. 2021, arXiv 2103.11069, without
      their division by a length). 1 is monotone, at most 2 is a single bowl, and more is up and down. Refining the
      grid hardly changes it, and neither does scaling the loss. Lines with a value that is not finite, and constant
      ones, are left out.
    - ``roughness_bending``: the root mean square, over points and axes, of the distance of log L from the straight line
      between its two neighbours, divided by the range of log L on the grid. On equally spaced points it is half the
      second difference. It shrinks with the square of the step, so compare only surveys of the same grid. None if a
      loss is not positive.
    - ``local_minima``: the number of local minima; a plateau counts once, and points at the border count.
    - ``convex_share``: of the points with two neighbours along every axis (of three points and more), the share at
      which L is nowhere above the straight line between them.

    Args:
        diagonal: whether a local minimum is compared with its diagonal neighbours, too.
    """

    diagonal: bool = False

    def applies(self, surface: Surface) -> bool:
        return True

    def of(self, surface: Surface) -> dict[str, Value]:
        return {
            "roughness_total_variation": _total_variation(surface.values),
            "roughness_bending": _bending(surface),
            "local_minima": len(merge_tree(surface.values, diagonal=self.diagonal).minima),
            "convex_share": _convex_share(surface),
        }


def _total_variation(values: Floats) -> float | None:
    found = []
    for axis in range(values.ndim):
        lines = np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])
        lines = lines[np.isfinite(lines).all(axis=1)]
        ranges = np.ptp(lines, axis=1)
        varying = ranges > 0
        found.append(np.abs(np.diff(lines[varying], axis=1)).sum(axis=1) / ranges[varying])
    ratios = np.concatenate(found)
    return float(ratios.mean()) if ratios.size else None


def _bending(surface: Surface) -> float | None:
    finite = surface.values[np.isfinite(surface.values)]
    if not finite.size or finite.min() <= 0 or finite.min() == finite.max():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(surface.values)
    bends = np.concatenate([_bends(logs, coords, axis).ravel() for axis, coords in enumerate(surface.coords)])
    bends = bends[np.isfinite(bends)]
    scale = float(np.log(finite.max()) - np.log(finite.min()))
    return float(np.sqrt(np.mean(bends**2)) / scale) if bends.size and scale > 0 else None


def _convex_share(surface: Surface) -> float | None:
    axes = [axis for axis, size in enumerate(surface.values.shape) if size > 2]
    inner = tuple(slice(1, -1) if axis in axes else slice(None) for axis in range(surface.values.ndim))
    above = np.full(surface.values[inner].shape, -np.inf)
    for axis in axes:
        others = tuple(slice(None) if other == axis else part for other, part in enumerate(inner))
        bends = _bends(surface.values[others], surface.coords[axis], axis)
        above = np.maximum(above, np.where(np.isfinite(bends), bends, np.nan))  # NaN stays
    known = above[np.isfinite(above)]
    # the rounding error of a straight line does not count
    rounding = 4 * np.finfo(np.float64).eps * np.abs(surface.values[np.isfinite(surface.values)]).max(initial=0.0)
    return float((known <= rounding).mean()) if known.size else None


def _bends(values: Floats, coords: Floats, axis: int) -> Floats:
    """Return how far values are above the straight line between their neighbours along an axis, shorter by two."""
    if len(coords) < 3:
        return np.empty([0 if k == axis else size for k, size in enumerate(values.shape)])
    share = (coords[1:-1] - coords[:-2]) / (coords[2:] - coords[:-2])
    along = np.moveaxis(values, axis, -1)
    with np.errstate(invalid="ignore", over="ignore"):
        bends = along[..., 1:-1] - ((1 - share) * along[..., :-2] + share * along[..., 2:])
    return np.moveaxis(bends, -1, axis)
