"""The arrays of a survey in a zarr v3 group: on the grid in tiles, or beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from lossatlas.errors import BadInput, first_line
from lossatlas.files.writing import cannot_write

__all__ = ["Grid", "GridArrays", "Mask", "Tile"]

TILE_POINTS = 256
"""About how many points a tile has: what is written at once and lost at most by a kill."""

WHOLE = "whole"
"""The attribute that an array gets when all of it was written."""

Tile = tuple[slice, ...]
"""Where a tile lies on the grid."""
Mask = npt.NDArray[np.bool_]
Grid = Mapping[str, npt.NDArray[np.float64]]
"""Per axis ascending coordinates."""


class GridArrays:
    """Arrays over a grid, chunked in tiles.

    Args:
        where: a group's place, as zarr takes it.
        grid: the group's coordinates.
    """

    def __init__(self, where: Any, grid: Grid) -> None:
        self._where = where
        self.grid = dict(grid)
        self.axes = tuple(grid)
        self.shape = tuple(len(coords) for coords in grid.values())
        side = max(1, round(TILE_POINTS ** (1 / len(self.shape))))
        self._tile = tuple(min(side, length) for length in self.shape)
        self.group = zarr.open_group(where, mode="r+")

    @classmethod
    def started(cls, where: Any, grid: Grid, attributes: Mapping[Any, Any], labels: Mapping[str, str]) -> GridArrays:
        """A new group with its coordinates and no array.

        Args:
            where: a place, as zarr takes it; what is there is replaced.
            grid: per axis its coordinates.
            attributes: of the group.
            labels: what plots call the axes; default their names.
        """
        coords = {
            axis: xr.DataArray(values, dims=axis, attrs={"long_name": labels.get(axis, axis), "units": "1"})
            for axis, values in grid.items()
        }
        empty = xr.Dataset(coords=coords, attrs=dict(attributes))
        empty.to_zarr(where, zarr_format=3, consolidated=False, mode="w")
        return cls(where, grid)

    def tiles(self) -> Iterator[Tile]:
        """All tiles, in order."""
        starts = [range(0, length, step) for length, step in zip(self.shape, self._tile, strict=True)]
        for corner in product(*starts):
            yield tuple(slice(a, min(a + t, n)) for a, t, n in zip(corner, self._tile, self.shape, strict=True))

    def __contains__(self, name: str) -> bool:
        return name in self.group

    def __getitem__(self, name: str) -> zarr.Array[Any]:
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        return array

    def create(
        self, name: str, dtype: Any, attributes: Mapping[Any, Any], further: Mapping[str, int] | None = None
    ) -> None:
        """An array over the grid, and over further dimensions by name, instead of one that may be there."""
        more = tuple((further or {}).values())
        dimensions = (*self.axes, *(further or {}))
        self._create(name, np.dtype(dtype), attributes, dimensions, (*self.shape, *more), (*self._tile, *more))

    def put_beside(self, name: str, dimensions: tuple[str, ...], values: npt.NDArray[Any], attributes: Any) -> None:
        """A whole array that is not on the grid."""
        self._create(name, values.dtype, attributes, dimensions, values.shape, values.shape)
        self.write(name, ..., values)
        self[name].update_attributes({WHOLE: True})

    def is_whole(self, name: str) -> bool:
        """Whether an array that is not on the grid was written, to its end."""
        return name in self and WHOLE in self[name].attrs

    def read(self, name: str, where: Any = ...) -> npt.NDArray[Any]:
        """A part of an array.

        Raises:
            BadInput: a chunk of it is damaged.
        """
        try:
            return np.asarray(self[name][where])
        except Exception as error:  # codecs fail in many ways on bytes that are not theirs
            raise BadInput(
                f"{self._where} is damaged: {name} cannot be read{_said(where)} ({first_line(error)}); look at the "
                "rest with lossatlas view, and survey anew with --overwrite"
            ) from error

    def write(self, name: str, where: Any, values: Any) -> None:
        """Write a part of an array.

        Raises:
            CannotFinish: the disk refuses.
        """
        try:
            self[name][where] = values
        except OSError as error:
            raise cannot_write(Path(str(self._where)), error) from error

    def write_points(self, name: str, tile: Tile, where: Mask, values: npt.NDArray[Any]) -> None:
        """Write values (K, ...) at the K points of a tile that a mask of its shape says, in the array's numbers."""
        with np.errstate(over="ignore"):  # an infinity is what a loss that is too large for them becomes
            values = values.astype(self[name].dtype)
        if where.all():
            self.write(name, tile, values.reshape(*where.shape, *values.shape[1:]))
            return
        there = self.read(name, tile)
        there[where] = values
        self.write(name, tile, there)

    def take_over(self, known: GridArrays, described: xr.Dataset) -> None:
        """Write what a survey on some of the grid's points knows; nothing is known at the others then.

        Args:
            known: the survey's arrays.
            described: the same, for their dimensions.

        Raises:
            BadInput: a chunk of it is damaged.
        """
        places = [np.searchsorted(self.grid[axis], known.grid[axis]) for axis in self.axes]
        for key, variable in described.data_vars.items():
            name, dims = str(key), tuple(map(str, variable.dims))
            values = known.read(name)
            if not set(self.axes) <= set(dims):
                self.put_beside(name, dims, values, dict(variable.attrs))
                continue
            further = dict(zip(dims[len(self.axes) :], values.shape[len(self.axes) :], strict=True))
            self.create(name, values.dtype, dict(variable.attrs), further)
            whole = self.read(name)
            whole[np.ix_(*places)] = values
            self.write(name, ..., whole)

    def _create(
        self,
        name: str,
        dtype: np.dtype[Any],
        attributes: Mapping[Any, Any],
        dimensions: tuple[str, ...],
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
    ) -> None:
        fill = {"f": math.nan, "b": False}.get(dtype.kind, 0)
        try:
            self.group.create_array(
                name, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, dimension_names=dimensions,
                attributes=dict(attributes), overwrite=True,
            )  # fmt: skip
        except OSError as error:
            raise cannot_write(Path(str(self._where)), error) from error


def _said(where: Any) -> str:
    """A tile in words."""
    return f" at points {', '.join(f'{part.start} to {part.stop - 1}' for part in where)}" if where is not ... else ""
