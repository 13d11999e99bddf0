"""A box of a survey's grid that is evaluated finer than the rest of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xarray as xr

from lossatlas.describing import join_words
from lossatlas.errors import BadInput
from lossatlas.files.reading import parse_json
from lossatlas.schema import MEASURED, SAMPLE_DIMENSIONS, WHOLE_GRID, OnChart, is_target
from lossatlas.surveying.arrays import WHOLE, Grid, GridArrays, Mask
from lossatlas.surveying.interpolating import find_gaps, interpolate_variables
from lossatlas.surveying.refining import Refining

__all__ = ["MOST_POINTS", "Region", "count_whole", "read_whole_grid", "select_whole_grid"]

Floats = npt.NDArray[np.float64]
Box = Mapping[str, tuple[float, float]]
"""By axis the low and the high end."""
MOST_POINTS = 40_000
"""How many new points a region may have, unless something else is said: those of a survey of 200 x 200."""
CLOSEST = 1e-8
"""Points nearer to each other than this share of their axis are not told apart for certain when a survey grows."""


@dataclass(frozen=True, eq=False)
class Region(Refining):
    """A box of a grid in which all points are evaluated, on lines that cross the whole grid.

    Where all of the box is evaluated, the middle of each interval that overlaps it is new; where some of it is not, as
    after a stop, or where the lines of another region cross it, it is brought to the least density at which it is
    not whole. Who asks for the same region again, once it is evaluated, thus gets it twice as dense along each axis.

    Attributes:
        grid: The grid with the new lines, by axis.
        whole: The grid that is evaluated as a whole, before any region is.
        inside: (U, V, ...) which points of the grid are to be evaluated; they may be so already.
    """

    grid: Grid
    whole: Grid
    inside: Mask

    @classmethod
    def select(cls, grid: Grid, known: Mask, box: Box, whole: Grid | None = None, most: int = MOST_POINTS) -> Self:
        """Select a box of a grid.

        Args:
            grid: per axis its ascending coordinates, repeats and the like among them.
            known: (U, V, ...) which of its points are evaluated.
            box: by axis the low and the high end; axes that it does not name are in it as a whole, and so are repeats.
            whole: the grid that is evaluated as a whole, of which the grid has all lines; default the grid.
            most: how many points may be new.

        Raises:
            BadInput: the box is empty, outside the grid, or along an axis that the grid lacks; an axis has one point
                alone; or more points would be new, or nearer to each other than numbers tell.
        """
        whole = {axis: np.asarray(coords) for axis, coords in (whole or grid).items()}
        ends = {axis: _clip(box, axis, coords) for axis, coords in _refined(whole).items()}
        if strange := sorted(set(box) - set(ends)):
            raise BadInput(f"the region is limited along {join_words(strange)}; expected {join_words(list(ends))}")
        lines = _crop(whole, ends)
        while (places := _find_places(grid, lines)) is not None and known[np.ix_(*places)].all():
            inner = _crop(lines, ends)
            lines = {
                axis: _halve(axis, coords, whole[axis]) if axis in ends else coords for axis, coords in inner.items()
            }
        finer = {axis: np.union1d(coords, lines[axis]) for axis, coords in grid.items()}
        inside = _product([np.isin(coords, lines[axis]) for axis, coords in finer.items()])
        there = np.zeros_like(inside)
        there[np.ix_(*(np.searchsorted(finer[axis], coords) for axis, coords in grid.items()))] = known
        if (new := int((inside & ~there).sum())) > most:
            raise BadInput(f"the region has {new:,} points to evaluate, more than {most:,}; choose a smaller one")
        return cls(finer, whole, inside)

    def coarsest(self) -> Mask:
        """The points of the grid that is evaluated as a whole."""
        return _product([np.isin(coords, self.whole[axis]) for axis, coords in self.grid.items()])

    def wanted(self, values: Floats, known: Mask) -> Mask:
        """Those that are known, and those of the region."""
        return known | self.inside

    def record(self) -> str:
        """The grid that is evaluated as a whole, as the attribute :data:`~lossatlas.schema.WHOLE_GRID` holds it."""
        return json.dumps({axis: coords.tolist() for axis, coords in self.whole.items()})

    def complete(self, arrays: GridArrays, before: GridArrays) -> None:
        """Give what lies over a grid with new lines values on these, none of which is evaluated.

        Metrics are interpolated. What was requested, such as the picture of a fit, is at a new point that of the cell
        that it lies in, on the border of two that of the upper one. Maps of the chart's distortion are interpolated, in
        the units that they have.

        Args:
            arrays: on the region's grid, with what those before know.
            before: those that the survey had.

        Raises:
            BadInput: the survey is not finished.
            CannotFinish: the disk refuses.
        """
        coarsest = self.coarsest()
        interpolate_variables(arrays, coarsest, arrays.marks())
        for name in before:
            if name == MEASURED or not (before.is_whole(name) and before.is_tiled(before[name])):
                continue
            values = arrays.read(name)
            if is_target(name):
                values = values[np.ix_(*(self._find_cells(axis) for axis in self.grid))]
            elif name.startswith(OnChart.PREFIX):
                values = find_gaps(arrays, coarsest).fill(values.astype(np.float64)).astype(values.dtype)
            else:
                continue
            arrays.put(name, values, {key: value for key, value in before[name].attrs.items() if key != WHOLE})

    def _find_cells(self, axis: str) -> npt.NDArray[np.intp]:
        """By point of the grid along an axis the place of the line at the centre of its cell."""
        centres = self.whole[axis]
        cells = np.searchsorted((centres[1:] + centres[:-1]) / 2, self.grid[axis], side="right")
        return np.searchsorted(self.grid[axis], centres)[cells]


def read_whole_grid(attributes: Mapping[str, Any], grid: Grid) -> Grid:
    """The grid that is evaluated as a whole, as a survey says; all of its grid where no region was evaluated finer.

    Args:
        attributes: of the survey.
        grid: its coordinates.
    """
    with suppress(ValueError):
        stored = parse_json(str(attributes.get(WHOLE_GRID, "")), dict[str, list[float]])
        whole = {axis: np.array(stored.get(axis, ()), dtype=np.float64) for axis in grid}
        if all(len(coords) and np.isin(coords, grid[axis]).all() for axis, coords in whole.items()):
            return whole
    return grid


def select_whole_grid(survey: xr.Dataset) -> xr.Dataset:
    """A survey at the points of the grid that is evaluated as a whole, without the lines of finer regions."""
    grid = {str(axis): np.asarray(index.values) for axis, index in survey.indexes.items() if axis in survey.dims}
    whole = read_whole_grid(survey.attrs, grid)
    return survey.isel({axis: np.isin(coords, whole[axis]) for axis, coords in grid.items()})


def count_whole(whole: Floats, coords: Floats) -> int:
    """How many equally spaced points an axis needs to hold all lines of a grid with regions.

    Args:
        whole: the coordinates along an axis that is evaluated as a whole, equally spaced.
        coords: all of them; others are middles, middles of middles and so on.
    """
    if len(whole) < 2:
        return len(coords)
    halvings = round(math.log2(float(np.diff(whole).min()) / float(np.diff(coords).min())))
    return (len(whole) - 1) * int(2 ** max(0, halvings)) + 1


def _refined(grid: Grid) -> dict[str, Floats]:
    """The axes along which a grid gets new lines.

    Raises:
        BadInput: one of them has a single point, or there is none.
    """
    axes = {axis: coords for axis, coords in grid.items() if axis not in SAMPLE_DIMENSIONS}
    if not axes:
        raise BadInput(
            f"a survey of {join_words([f'{axis}s' for axis in grid])} alone has no region that could be finer"
        )
    for axis, coords in axes.items():
        if len(coords) < 2:
            raise BadInput(
                f"the survey has one point along {axis}, between which and others there is nothing to refine"
            )
    return axes


def _clip(box: Box, axis: str, coords: Floats) -> tuple[float, float]:
    """The ends of a box along an axis, as far as the grid reaches.

    Raises:
        BadInput: it is empty or outside.
    """
    first, last = float(coords[0]), float(coords[-1])
    low, high = map(float, box.get(axis, (first, last)))
    if not low < high:
        raise BadInput(f"the region is {low:g} to {high:g} along {axis}; expected a low and a higher end")
    if not (low < last and high > first):
        raise BadInput(
            f"the region is {low:g} to {high:g} along {axis}, outside the survey; choose one in {first:g} to {last:g}"
        )
    return max(low, first), min(high, last)


def _crop(lines: Grid, ends: Mapping[str, tuple[float, float]]) -> dict[str, Floats]:
    """Those lines that bound the intervals which overlap a box, along each axis."""
    kept = dict(lines)
    for axis, (low, high) in ends.items():
        coords = lines[axis]
        begin = max(0, int(np.searchsorted(coords, low, side="right")) - 1)
        kept[axis] = coords[begin : int(np.searchsorted(coords, high)) + 1]
    return kept


def _halve(axis: str, coords: Floats, whole: Floats) -> Floats:
    """Coordinates with the middles of their intervals.

    Raises:
        BadInput: they would be nearer to each other than numbers tell.
    """
    if float(np.diff(coords).min()) / 2 < CLOSEST * float(np.ptp(whole)):
        raise BadInput(f"the points of the region are as close along {axis} as numbers tell apart; choose a larger one")
    return np.union1d(coords, (coords[1:] + coords[:-1]) / 2)


def _find_places(grid: Grid, lines: Grid) -> list[npt.NDArray[np.intp]] | None:
    """Where lines are on a grid, per axis; None where it lacks one."""
    if not all(np.isin(coords, grid[axis]).all() for axis, coords in lines.items()):
        return None
    return [np.searchsorted(grid[axis], coords) for axis, coords in lines.items()]


def _product(masks: list[Mask]) -> Mask:
    """Which points of a grid lie on chosen lines along all axes."""
    return reduce(np.logical_and.outer, masks)
