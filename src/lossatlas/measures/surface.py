"""Surfaces: values on a grid, with the coordinates of the networks around or between which they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossatlas.errors import BadInput
from lossatlas.schema import AXES

__all__ = ["ROUNDING", "Floats", "Index", "Surface", "drop_infinite", "interpolate", "lies_beyond"]

Floats = NDArray[np.float64]
Index = tuple[int, ...]

ROUNDING = 1e-6
"""The share of the grid's extent below which coordinates count as equal, since surveys may store them as float32."""

SNAP = 1e-12
"""The share of a step below which a coordinate counts as that of a grid point."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A function on a grid in one or more dimensions.

    Attributes:
        values: (U,), (U, V), (U, V, W) or further; NaN and infinities are kept.
        coords: The coordinates along each axis, (U,), (V,), ..., ascending, not necessarily equally spaced.
        corners: Name and coordinates of each network that the survey lies around or between; the first is its centre.
        axes: The names of the axes.
        repeats: (D, U, ...), the values of several repeats of the same slice, of which ``values`` is one or the mean;
            None where there is only one.

    Raises:
        BadInput: shapes do not fit, or coordinates do not ascend.
    """

    values: Floats
    coords: tuple[Floats, ...]
    corners: tuple[tuple[str, tuple[float, ...]], ...] = ()
    axes: tuple[str, ...] = AXES
    repeats: Floats | None = None

    def __post_init__(self) -> None:
        sizes = tuple(len(c) for c in self.coords)
        if self.values.shape != sizes or not self.values.size:
            raise BadInput(
                f"values of shape {self.values.shape} do not fit coordinates of {sizes}; expected as many, and at "
                "least one"
            )
        if len(self.axes) < self.values.ndim or any(len(point) != self.values.ndim for _, point in self.corners):
            raise BadInput(
                f"a surface of {self.values.ndim} axes needs a name and a corner's coordinate for each of them"
            )
        if any((np.diff(c) <= 0).any() or not np.isfinite(c).all() for c in self.coords):
            raise BadInput(
                "the coordinates of a survey do not ascend; expected strictly ascending ones: sort the survey by its "
                "axes"
            )
        if self.repeats is not None and self.repeats.shape[1:] != self.values.shape:
            raise BadInput(f"repeats of shape {self.repeats.shape}; expected (repeats, *{self.values.shape})")

    @property
    def centre(self) -> Index:
        """Return the index of the grid point nearest to the first corner, or to the origin without corners."""
        return self.nearest(self.corners[0][1] if self.corners else (0.0,) * self.values.ndim)

    @property
    def centre_value(self) -> float:
        """Return the value at the centre, which may be NaN or infinite."""
        return float(self.values[self.centre])

    def nearest(self, point: Sequence[float]) -> Index:
        """Return the index of the grid point nearest to a point; the lower index of two equally near ones."""
        return tuple(int(np.argmin(np.abs(c - p))) for c, p in zip(self.coords, point, strict=True))

    def at(self, index: Index) -> list[float]:
        """Return the coordinates of a grid point."""
        return [float(c[i]) for c, i in zip(self.coords, index, strict=True)]

    def line(self, axis: int) -> Floats:
        """Return the values along an axis through the centre, (U,) or (V,), ..."""
        index: list[int | slice] = list(self.centre)
        index[axis] = slice(None)
        return self.values[tuple(index)]


def drop_infinite(value: float) -> float | None:
    """Return a plain number, or None for NaN and infinities."""
    return float(value) if np.isfinite(value) else None


def lies_beyond(coords: Floats, place: float) -> bool:
    """Return whether a coordinate lies outside a grid's coordinates (U,), by more than their rounding."""
    slack = ROUNDING * (coords[-1] - coords[0])
    return bool(place < coords[0] - slack or place > coords[-1] + slack)


def interpolate(values: Floats, coords: Floats, place: float, axis: int = 0) -> Floats:
    """Interpolate values linearly along an axis, which is removed; beyond the grid they are those of its end.

    A value that is not finite does not affect a coordinate that is exactly that of another grid point.
    """
    if len(coords) == 1:
        return np.asarray(values.take(0, axis))
    below = int(np.clip(np.searchsorted(coords, place, side="right") - 1, 0, len(coords) - 2))
    weight = float(np.clip((place - coords[below]) / (coords[below + 1] - coords[below]), 0.0, 1.0))
    if weight < SNAP or weight > 1 - SNAP:
        return np.asarray(values.take(below + round(weight), axis))
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray((1 - weight) * values.take(below, axis) + weight * values.take(below + 1, axis))
