"""The width of the basin around the centre at given levels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np

from lossatlas.measures.measure import Measure, Value
from lossatlas.measures.merge_tree import MergeTree, merge_tree
from lossatlas.measures.surface import Floats, Surface

__all__ = ["Width"]

CONTENTS = {2: "area", 3: "volume"}


@dataclass(frozen=True)
class Width(Measure):
    """The basin around the centre below levels: its width along each axis, and its area (volume) in two (three) axes.

    - ``width_<axis>_at_<level>``: the length of the interval around the centre on which the loss is below the level,
      in units of the coordinate; linear between grid points (the width of Im et al. 2016, arXiv 1612.04010, along the
      axis). Exact for piecewise linear functions whose kinks lie on the grid.
    - ``area_at_<level>``, ``volume_at_<level>``: of the cells of the connected part of the sublevel set around the
      centre, in units of the coordinates squared or cubed. Cells end in the middle between grid points.

    The name of a level is ``centre_plus_0.1``, or its value, ``2.3026``. None if the basin is open: the grid ends
    before the loss reaches the level. 0 if the centre is not below the level.

    Args:
        above_centre: levels in the loss's unit above the loss of the centre.
        ceilings: levels of the loss; by default the cross-entropy of guessing among ten classes, which is about that of
            an untrained network and the ceiling of Im et al.'s pictures.
        diagonal: whether the sublevel set is connected through diagonal neighbours too.
    """

    above_centre: tuple[float, ...] = (0.1, 1.0)
    ceilings: tuple[float, ...] = (math.log(10),)
    diagonal: bool = False

    def applies(self, surface: Surface) -> bool:
        return True

    def of(self, surface: Surface) -> dict[str, Value]:
        levels = {f"centre_plus_{rise:g}": surface.centre_value + rise for rise in self.above_centre}
        levels |= {f"{ceiling:.5g}": ceiling for ceiling in self.ceilings}
        widths: dict[str, Value] = {
            f"width_{name}_at_{called}": _width(surface, axis, level)
            for called, level in levels.items()
            for axis, name in enumerate(surface.axes[: surface.values.ndim])
        }
        return {**widths, **dict(self._contents(surface, levels))}

    def _contents(self, surface: Surface, levels: dict[str, float]) -> Iterator[tuple[str, Value]]:
        if surface.values.ndim in CONTENTS:
            tree = merge_tree(surface.values, diagonal=self.diagonal)
            cells = reduce(np.multiply.outer, [_lengths(coords) for coords in surface.coords])
            for called, level in levels.items():
                yield f"{CONTENTS[surface.values.ndim]}_at_{called}", _content(surface, tree, cells, level)


def _width(surface: Surface, axis: int, level: float) -> float | None:
    if not np.isfinite(surface.centre_value):
        return None
    if surface.centre_value >= level:
        return 0.0
    coords, values, at = surface.coords[axis], surface.line(axis), surface.centre[axis]
    reaches = [_reach(coords[at:], values[at:], level), _reach(-coords[at::-1], values[at::-1], level)]
    return None if None in reaches else sum(reach for reach in reaches if reach is not None)


def _reach(coords: Floats, values: Floats, level: float) -> float | None:
    """Return the distance from the first of ascending coordinates (N,) at which the values (N,) reach the level."""
    outside = np.flatnonzero(~(values < level))  # NaN is not below
    if not outside.size or not np.isfinite(values[: outside[0] + 1]).all():
        return None
    above = int(outside[0])
    share = (level - values[above - 1]) / (values[above] - values[above - 1])
    return float(coords[above - 1] + share * (coords[above] - coords[above - 1]) - coords[0])


def _content(surface: Surface, tree: MergeTree, cells: Floats, level: float) -> float | None:
    if not np.isfinite(surface.centre_value):
        return None
    basin = tree.component(surface.centre, level)
    faces = [basin.take(end, axis) for axis in range(basin.ndim) for end in (0, -1)]
    return None if any(face.any() for face in faces) else float(cells[basin].sum())


def _lengths(coords: Floats) -> Floats:
    """Return the lengths of the cells around coordinates (N,); the outer cells are as long as the step beside them."""
    return np.gradient(coords) if len(coords) > 1 else np.zeros(1)
