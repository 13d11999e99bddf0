"""Where the values of a survey go: one zarr store, written tile by tile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
import zarr.storage

from lossatlas.errors import BadInput, first_line
from lossatlas.rundir import cannot_write
from lossatlas.schema import Quantity, done_variable, split_variable

__all__ = ["SurveyStore"]

TILE_POINTS = 256
"""About how many points a tile has: what is written at once and lost at most by a kill."""


class SurveyStore:
    """A survey's arrays in a zarr v3 group, on disk or in memory; opened by :func:`xarray.open_zarr`.

    Args:
        path: a directory; None keeps everything in memory.
        grid: per axis its ascending coordinates.
        attributes: of the data set. A store that exists must have equal ones.
        labels: what plots call the axes, by axis; default their names.

    Raises:
        BadInput: the store that is there is another survey's; the first difference is named.
    """

    def __init__(
        self,
        path: Path | None,
        grid: Mapping[str, npt.NDArray[np.float64]],
        attributes: Mapping[str, Any],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._where: Any = str(path) if path is not None else zarr.storage.MemoryStore()
        self.axes = tuple(grid)
        self.shape = tuple(len(coords) for coords in grid.values())
        side = max(1, round(TILE_POINTS ** (1 / len(self.shape))))
        self.tile = tuple(min(side, length) for length in self.shape)
        if path is not None and path.exists():
            _sweep(path)
            self._check(path, grid, attributes)
        elif path is None:
            _create(self._where, grid, attributes, labels or {})
        else:
            # Made beside its place and moved there whole: a store that exists has all its coordinates.
            fresh = path.with_name(f".{path.name}.partial")
            try:
                shutil.rmtree(fresh, ignore_errors=True)
                _create(str(fresh), grid, attributes, labels or {})
                os.replace(fresh, path)
            except OSError as error:
                shutil.rmtree(fresh, ignore_errors=True)
                raise cannot_write(path, error) from error
        self._group = zarr.open_group(self._where, mode="r+")

    def add(self, split: str, group: str, quantities: Sequence[Quantity], attributes: Mapping[str, Any]) -> None:
        """Make the arrays of one group of metrics on one split, as far as they are not there.

        The mark is made last, and made anew where a metric joins its group: the group is then evaluated again.

        Raises:
            BadInput: the group is there with other data or settings; the first difference is named.
        """
        done = done_variable(split, group)
        if done in self._group:
            _compare(f"{done} in the survey", dict(self._group[done].attrs), attributes)
        variables = {split_variable(split, quantity.name): quantity for quantity in quantities}
        marked = done in self._group and all(name in self._group for name in variables)
        if marked:
            return
        for name, quantity in variables.items():
            attrs = {"long_name": f"{split} {quantity.long_name}", "units": quantity.units}
            self._create(name, np.dtype(np.float32), np.nan, attrs)
        self._create(done, np.dtype(np.bool_), False, dict(attributes))

    def put(self, name: str, values: npt.NDArray[Any], attributes: Mapping[str, Any]) -> None:
        """Write a whole variable of the grid's shape, such as the target."""
        self._create(name, values.dtype, 0, dict(attributes))
        self._write(name, ..., values)

    def put_beside(
        self, name: str, dimensions: Sequence[str], values: npt.NDArray[Any], attributes: Mapping[str, Any]
    ) -> None:
        """Write a whole variable that is not on the grid, such as a path; its dimensions have no coordinates."""
        self._create(name, values.dtype, 0, dict(attributes), tuple(dimensions), values.shape)
        self._write(name, ..., values)

    def missing(self, split: str, group: str) -> Iterator[tuple[slice, ...]]:
        """The tiles of a group that are not finished."""
        done = self._group[done_variable(split, group)]
        assert isinstance(done, zarr.Array)
        starts = [range(0, length, step) for length, step in zip(self.shape, self.tile, strict=True)]
        for corner in product(*starts):
            tile = tuple(slice(a, min(a + t, n)) for a, t, n in zip(corner, self.tile, self.shape, strict=True))
            if not np.all(np.asarray(done[tile])):
                yield tile

    def write(
        self, split: str, group: str, tile: tuple[slice, ...], values: Mapping[str, npt.NDArray[np.float64]]
    ) -> None:
        """Write a tile's values, then its mark."""
        for metric, array in values.items():
            self._write(split_variable(split, metric), tile, array.astype(np.float32))
        self._write(done_variable(split, group), tile, True)

    def open(self) -> xr.Dataset:
        """The survey as it stands."""
        survey: xr.Dataset = xr.open_zarr(self._where, consolidated=False, chunks=None)
        return survey

    def _create(
        self,
        name: str,
        dtype: np.dtype[Any],
        fill: Any,
        attributes: dict[str, Any],
        dimensions: tuple[str, ...] | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """An empty array, of the grid's shape unless dimensions and a shape of its own are given."""
        try:
            self._group.create_array(
                name, shape=shape or self.shape, chunks=shape or self.tile, dtype=dtype, fill_value=fill,
                dimension_names=dimensions or self.axes, attributes=attributes, overwrite=True,
            )  # fmt: skip
        except OSError as error:
            raise cannot_write(Path(str(self._where)), error) from error

    def _write(self, name: str, where: Any, values: Any) -> None:
        array = self._group[name]
        assert isinstance(array, zarr.Array)
        try:
            array[where] = values
        except OSError as error:
            raise cannot_write(Path(str(self._where)), error) from error

    def _check(self, path: Path, grid: Mapping[str, npt.NDArray[np.float64]], attributes: Mapping[str, Any]) -> None:
        try:
            stored = self.open()
        except Exception as error:  # whatever is wrong with it, it is no survey
            raise BadInput(
                f"{path} is no survey that can be continued ({first_line(error)}); choose another"
            ) from error
        if set(stored.coords) != set(self.axes) or any(
            not np.array_equal(stored[axis].values, coords) for axis, coords in grid.items()
        ):
            raise BadInput(f"the survey in {path} has another grid; choose another path")
        _compare(f"the survey in {path}", stored.attrs, attributes)


def _create(
    where: Any,
    grid: Mapping[str, npt.NDArray[np.float64]],
    attributes: Mapping[str, Any],
    labels: Mapping[str, str],
) -> None:
    coords = {
        axis: xr.DataArray(values, dims=axis, attrs={"long_name": labels.get(axis, axis), "units": "1"})
        for axis, values in grid.items()
    }
    empty = xr.Dataset(coords=coords, attrs=dict(attributes))
    empty.to_zarr(where, zarr_format=3, consolidated=False, mode="w")


def _sweep(path: Path) -> None:
    """Remove what is left of arrays, and of the group's own metadata, whose writing was cut off."""
    if not (path / "zarr.json").is_file():
        return
    for part in path.iterdir():
        if part.is_dir() and not (part / "zarr.json").is_file():
            shutil.rmtree(part)
        elif part.name.endswith(".partial"):
            part.unlink()


def _compare(what: str, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        if stored.get(key) != value:
            raise BadInput(f"{what} has {key} = {stored.get(key)!r}, this one {value!r}; choose another path")
