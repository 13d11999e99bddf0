"""The curvature of the loss at the centre."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from lossatlas.measures.measure import Measure, Value
from lossatlas.measures.surface import Floats, Surface, drop_infinite

__all__ = ["Curvature"]


@dataclass(frozen=True)
class Curvature(Measure):
    """The Hessian of the slice at the centre, from the 3^d points around it, in units of loss by squared coordinate.

    The derivatives are those of the parabola through three points, equally spaced or not, so the Hessian of a
    quadratic function is exact:

    - ``curvature_u``, ``curvature_v``, ...: second derivatives along the axes; ``curvature_uv``, ...: mixed ones;
    - ``curvature_smallest``, ``curvature_largest``: the extreme eigenvalues of the Hessian;
    - ``curvature_ratio``: the smallest by the largest, a number without unit, negative at a saddle (Li et al. 2018
      map its modulus).

    Curvatures seen in a slice are weighted averages of the principal ones of all weight space. None where the centre
    is at the border of the grid or a value is not finite.
    """

    def applies(self, surface: Surface) -> bool:
        return True

    def of(self, surface: Surface) -> dict[str, Value]:
        dimensions, axes = surface.values.ndim, surface.axes
        hessian = np.full((dimensions, dimensions), np.nan)
        for first in range(dimensions):
            for second in range(first, dimensions):
                hessian[first, second] = hessian[second, first] = _derivative(surface, first, second)
        named = {
            f"curvature_{axes[first]}{axes[second] if second > first else ''}": drop_infinite(hessian[first, second])
            for first in range(dimensions)
            for second in range(first, dimensions)
        }
        return {**named, **(_eigenvalues(hessian) if dimensions > 1 else {})}


def _derivative(surface: Surface, first: int, second: int) -> float:
    """Return the second derivative along two axes, or twice along one; NaN if the centre is at the border of the
    grid.
    """
    axes = (first,) if first == second else (first, second)
    index: list[int | slice] = list(surface.centre)
    weights = []
    for axis in axes:
        at, coords = surface.centre[axis], surface.coords[axis]
        if at in (0, len(coords) - 1):
            return float("nan")
        index[axis] = slice(at - 1, at + 2)
        before, after = np.diff(coords[at - 1 : at + 2])
        weights.append(_once(before, after) if len(axes) > 1 else _twice(before, after))
    around = surface.values[tuple(index)]
    if not np.isfinite(around).all():
        return float("nan")
    with np.errstate(over="ignore", invalid="ignore"):
        return float((around * reduce(np.multiply.outer, weights)).sum())


def _once(before: float, after: float) -> Floats:
    """Return the weights (3,) of the first derivative at the middle one of three points with these steps between
    them.
    """
    both = before + after
    return np.array([-after / (before * both), (after - before) / (before * after), before / (after * both)])


def _twice(before: float, after: float) -> Floats:
    """Return the weights (3,) of the second derivative at three points with these steps between them."""
    both = before + after
    return np.array([2 / (before * both), -2 / (before * after), 2 / (after * both)])


def _eigenvalues(hessian: Floats) -> dict[str, Value]:
    if not np.isfinite(hessian).all():
        return dict.fromkeys(("curvature_smallest", "curvature_largest", "curvature_ratio"))
    smallest, *_, largest = (float(value) for value in np.linalg.eigvalsh(hessian))
    ratio = smallest / largest if largest else None
    return {"curvature_smallest": smallest, "curvature_largest": largest, "curvature_ratio": ratio}
