"""The arrays of a survey in a zarr v3 group: on the grid in tiles, or beside it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec

from lossatlas.errors import BadInput, CannotFinish, LossatlasError, format_error
from lossatlas.files.reading import Unreadable, read_json
from lossatlas.files.stores import MARKS, METADATA, VOUCHES, ArrayHead, consolidate, list_folders
from lossatlas.files.writing import cannot_write, gone
from lossatlas.schema import MOST_TILE_POINTS, TILE_POINTS, is_standard, record_texts

__all__ = [
    "TILED",
    "WHOLE",
    "Grid",
    "GridArrays",
    "Mask",
    "Tile",
    "list_dimensions",
    "list_vouched",
    "shape_tile",
]

TILED = "tile_points"
"""The attribute of a store that says how many points a tile has."""
TILES = 1024
"""How many tiles are looked at together at most, which takes a fraction of a second."""
WHOLE = "whole"
"""The attribute that an array gets when all of it was written, unless it is written tile by tile."""
LOST_IF_MISSING: Any = {"write_empty_chunks": True}
"""Chunks are written whatever is in them: one of nothing but NaN that is missing was lost."""
PACKED = ZstdCodec(level=0, checksum=True)
"""How chunks are packed: with a check sum, by which one is known that was changed."""

Tile = tuple[slice, ...]
"""Where a tile lies on the grid."""
Mask = npt.NDArray[np.bool_]
Grid = Mapping[str, npt.NDArray[np.float64]]
"""Per axis ascending coordinates."""


class GridArrays:
    """Arrays over a grid, chunked in tiles.

    Args:
        where: the group, as zarr takes it: an absolute path, or a store in memory.
        grid: the group's coordinates.
    """

    def __init__(self, where: Any, grid: Grid) -> None:
        self._where = where
        self._path = Path(where) if isinstance(where, str) else None
        self._identity = self._looked_at()
        self.grid = dict(grid)
        self.axes = tuple(grid)
        self.shape = tuple(len(coords) for coords in grid.values())
        self.group = zarr.open_group(where, mode="r+", use_consolidated=False)
        self.tile = shape_tile(self.shape, _read_tile_points(self.group.attrs.get(TILED, TILE_POINTS)))

    @classmethod
    def started(cls, where: Any, grid: Grid, attributes: Mapping[Any, Any], labels: Mapping[str, str]) -> GridArrays:
        """A new group with its coordinates and no array.

        Args:
            where: the group, as zarr takes it; what is there is replaced.
            grid: per axis its coordinates.
            attributes: of the group.
            labels: what plots call the axes; default their names.

        Raises:
            OSError: the disk refuses.
        """
        coords = {
            axis: xr.DataArray(values, dims=axis, attrs={"long_name": labels.get(axis, axis), "units": "1"})
            for axis, values in grid.items()
        }
        empty = xr.Dataset(coords=coords, attrs=dict(attributes))
        encoding = {axis: {"compressors": (PACKED,)} for axis in grid}
        empty.to_zarr(where, zarr_format=3, consolidated=False, mode="w", encoding=encoding)
        arrays = cls(where, grid)
        arrays.group.create_group(MARKS)
        arrays.describe()
        return arrays

    def tiles(self, part: Tile | None = None) -> Iterator[Tile]:
        """All tiles, or those of a part that :meth:`parts` gave, in order."""
        part = part if part is not None else tuple(slice(0, length) for length in self.shape)
        starts = [range(side.start, side.stop, step) for side, step in zip(part, self.tile, strict=True)]
        for corner in product(*starts):
            yield tuple(slice(a, min(a + t, n)) for a, t, n in zip(corner, self.tile, self.shape, strict=True))

    def parts(self) -> Iterator[Tile]:
        """The grid in parts of some hundred tiles that follow each other."""
        left, steps = TILES, []
        for length, side in zip(reversed(self.shape), reversed(self.tile), strict=True):
            count = min(max(1, left), -(-length // side))
            steps.append(count * side)
            left //= count
        steps.reverse()
        for corner in product(*(range(0, length, step) for length, step in zip(self.shape, steps, strict=True))):
            yield tuple(slice(a, min(a + t, n)) for a, t, n in zip(corner, steps, self.shape, strict=True))

    def __contains__(self, name: str) -> bool:
        return name in self.group if self._path is None else (self._path / name / METADATA).is_file()

    def __iter__(self) -> Iterator[str]:
        """The names of the arrays that were made, whole or not, without coordinates."""
        if self._path is None:
            marks = self.group[MARKS]
            assert isinstance(marks, zarr.Group)
            found = [*self.group.array_keys(), *(f"{MARKS}/{name}" for name in marks.array_keys())]
        else:
            found = [each.relative_to(self._path).as_posix() for each in list_folders(self._path)]
        return (name for name in sorted(found) if name in self and name not in self.axes)

    def marks(self) -> list[str]:
        """The names of the arrays that say which points are evaluated."""
        return [name for name in self if is_marks(name) and self.fits(name, np.bool_) and VOUCHES in self[name].attrs]

    def __getitem__(self, name: str) -> zarr.Array[Any]:
        if name not in self:
            raise self._gone()
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        configured: zarr.Array[Any] = array.with_config(LOST_IF_MISSING)
        return configured

    def fits(self, name: str, dtype: Any, further: Mapping[str, int] | None = None) -> bool:
        """Whether an array is there, and is the one that :meth:`create` would make but for its attributes."""
        if name not in self:
            return False
        array, more = self[name], tuple((further or {}).values())
        found = (array.dtype, array.shape, array.chunks, list_dimensions(array))
        return found == (
            np.dtype(dtype), (*self.shape, *more), (*self.tile, *more), (*self.axes, *(further or {})),
        )  # fmt: skip

    def is_tiled(self, array: zarr.Array[Any]) -> bool:
        """Whether an array lies over the grid, in tiles.

        Raises:
            ValueError: it says so, and has another shape.
        """
        if list_dimensions(array)[: len(self.axes)] != self.axes:
            return False
        more = array.shape[len(self.axes) :]
        if array.shape != (*self.shape, *more) or array.chunks != (*self.tile, *more):
            raise ValueError(f"its shape is {array.shape} in chunks of {array.chunks}, the grid's {self.shape}")
        return True

    def further(self, name: str) -> dict[str, int]:
        """How long the dimensions of an array over the grid are, beyond the axes."""
        array, axes = self[name], len(self.axes)
        return dict(zip(list_dimensions(array)[axes:], array.shape[axes:], strict=False))

    def lengths(self) -> dict[str, int]:
        """How long each dimension is that an array has."""
        found: dict[str, int] = {}
        for name in self:
            found |= zip(list_dimensions(self[name]), self[name].shape, strict=False)
        return found

    def create(
        self, name: str, dtype: Any, attributes: Mapping[Any, Any], further: Mapping[str, int] | None = None
    ) -> None:
        """An array over the grid, and over further dimensions by name, instead of one that may be there."""
        more = tuple((further or {}).values())
        dimensions = (*self.axes, *(further or {}))
        self._create(name, np.dtype(dtype), attributes, dimensions, (*self.shape, *more), (*self.tile, *more))

    def put(self, name: str, values: npt.NDArray[Any], attributes: Mapping[Any, Any]) -> None:
        """A whole array over the grid, unless it is there with these values."""
        there = self.is_whole(name) and self.fits(name, values.dtype)
        if not there or not np.array_equal(self.read(name), values, equal_nan=values.dtype.kind == "f"):
            self.create(name, values.dtype, _recorded(attributes))
            self._put_whole(name, values)

    def put_beside(
        self, name: str, dimensions: tuple[str, ...], values: npt.NDArray[Any], attributes: Mapping[Any, Any]
    ) -> None:
        """A whole array that is not on the grid, unless it is there."""
        if not self.is_whole(name):
            self._create(name, values.dtype, _recorded(attributes), dimensions, values.shape, values.shape)
            self._put_whole(name, values)

    def vouch(self, mark: str, names: Sequence[str]) -> None:
        """Have marks say that these arrays, and no others, are written before them."""
        with self.writing():
            self[mark].update_attributes({VOUCHES: list(names)})

    def is_whole(self, name: str) -> bool:
        """Whether an array that is not written tile by tile was written, to its end."""
        return name in self and WHOLE in self[name].attrs

    def read(self, name: str, where: Any = ...) -> npt.NDArray[Any]:
        """A part of an array.

        Raises:
            BadInput: a chunk of it is damaged.
            CannotFinish: the array was removed.
        """
        try:
            return np.asarray(self[name][where])
        except LossatlasError:
            raise
        except Exception as error:  # codecs fail in many ways on bytes that are not theirs
            raise BadInput(
                f"{self._where} is damaged: {name} cannot be read{_said(where)} ({format_error(error)}); look at the "
                "rest with lossatlas view, and survey again with --overwrite"
            ) from error

    def write(self, name: str, where: Any, values: Any) -> None:
        """Write a part of an array.

        Raises:
            CannotFinish: the disk refuses, or the array was removed.
        """
        with self.writing():
            self[name][where] = values

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

    def wrote(self, name: str) -> bool:
        """Whether an array is one that surveys write, by its name and by what marks say; it may be damaged."""
        return is_marks(name) or is_standard(name) or name in self._vouched()

    def _vouched(self) -> set[str]:
        """All that the marks of a store on disk say that it is written before them, as far as they can be read."""
        found: set[str] = set()
        if self._path is None:
            return found
        for name in self:
            with suppress(Unreadable):
                names = read_json(self._path / name / METADATA, ArrayHead).attributes.get(VOUCHES)
                found.update(each for each in names or () if isinstance(each, str))
        return found

    def take_over(self, known: GridArrays) -> None:
        """Write what a survey on some of the grid's points knows; nothing is known at the others then.

        What else lies in the survey's folder is copied.

        Raises:
            BadInput: a chunk of it is damaged.
        """
        places = [np.searchsorted(self.grid[axis], known.grid[axis]) for axis in self.axes]
        for name in known:
            array, values = known[name], known.read(name)
            dimensions = list_dimensions(array)
            attributes = {key: value for key, value in array.attrs.items() if key != WHOLE}
            if dimensions[: len(self.axes)] == self.axes:
                further = dict(zip(dimensions, values.shape, strict=True))
                self.create(name, values.dtype, attributes, {key: further[key] for key in dimensions[len(self.axes) :]})
                whole = self.read(name)
                whole[np.ix_(*places)] = values
                self.write(name, ..., whole)
            elif known.is_whole(name):
                self.put_beside(name, dimensions, values, attributes)
        if known._path is not None and self._path is not None:
            begun = {name for name in known if known.wrote(name)}
            for other in known._path.iterdir():
                if other.name not in begun and not (place := self._path / other.name).exists():
                    if other.is_dir():
                        shutil.copytree(other, place, symlinks=True)
                    else:
                        shutil.copy2(other, place, follow_symlinks=False)
        self.describe()

    def describe(self, without: str | None = None) -> None:
        """Have the store's description say what its variables are, for those who open it; nothing in memory.

        Args:
            without: the name of one that is about to be taken away.

        Raises:
            CannotFinish: the disk refuses, or the store was removed.
        """
        if self._path is not None:
            with self.writing():
                consolidate(self._path, without)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """To be held around whatever writes to the store, or beside it.

        Raises:
            CannotFinish: the disk refuses; or the store was removed, and zarr would make its folders again.
        """
        self.check_there()
        try:
            yield
        except OSError as error:
            self.check_there()
            assert self._path is not None
            raise (self._gone() if isinstance(error, FileNotFoundError) else cannot_write(self._path, error)) from error
        self.check_there()

    def check_there(self) -> None:
        """Refuse to go on with a store that was removed, or replaced by another one."""
        if self._looked_at() != self._identity:
            raise self._gone()

    def _looked_at(self) -> tuple[int, int] | None:
        """What tells the folder of a store on disk from one that replaces it; None where there is none on disk."""
        try:
            if self._path is None or not (self._path / METADATA).is_file():
                return None
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _gone(self) -> CannotFinish:
        return gone(self._where)

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
        with self.writing():
            if self._path is not None and (stranger := self._path / name).is_file():
                stranger.unlink()  # zarr replaces folders alone
            if name in self:
                self.describe(without=name)
            self.group.create_array(
                name, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, dimension_names=dimensions,
                attributes=dict(attributes), compressors=PACKED, overwrite=True,
            )  # fmt: skip

    def _put_whole(self, name: str, values: npt.NDArray[Any]) -> None:
        """Write an array that was created, and after that say that it is whole."""
        self.write(name, ..., values)
        with self.writing():
            self[name].update_attributes({WHOLE: 1})  # netCDF has no booleans


def shape_tile(shape: Sequence[int], points: int) -> tuple[int, ...]:
    """The lengths of the sides of tiles that have about so many points, as cubes on a grid of a shape.

    >>> shape_tile((25, 25), 256), shape_tile((4, 100), 256), shape_tile((101, 101), 1)
    ((16, 16), (4, 16), (1, 1))
    """
    side = max(1, round(points ** (1 / len(shape))))
    return tuple(min(side, length) for length in shape)


def _read_tile_points(stated: Any) -> int:
    """How many points a tile has, as a store says.

    Raises:
        BadInput: it says something else.
    """
    if not isinstance(stated, int) or not 1 <= stated <= MOST_TILE_POINTS:
        raise BadInput(f"{TILED} of the survey is {stated!r}; expected 1 to {MOST_TILE_POINTS}; survey again")
    return stated


def is_marks(name: str) -> bool:
    """Whether an array of a store says which points are evaluated, by its name."""
    return name.startswith(f"{MARKS}/")


def _recorded(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: record_texts(value) for key, value in attributes.items()}


def list_dimensions(array: zarr.Array[Any]) -> tuple[str, ...]:
    """The names of an array's dimensions; none where its description does not say them."""
    return tuple(map(str, getattr(array.metadata, "dimension_names", None) or ()))


def list_vouched(marks: zarr.Array[Any]) -> list[str]:
    """What marks say that it is written before them."""
    names: Any = marks.attrs[VOUCHES]
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _said(where: Any) -> str:
    """A tile in words."""
    return f" at points {', '.join(f'{part.start} to {part.stop - 1}' for part in where)}" if where is not ... else ""
