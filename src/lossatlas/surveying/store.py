"""Where the values of a survey go: one zarr store, written tile by tile, by any number of processes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr.storage

from lossatlas.errors import BadInput, LossatlasError, first_line
from lossatlas.files.reading import Unreadable
from lossatlas.files.stores import open_store
from lossatlas.files.writing import cannot_write
from lossatlas.locks import Lock, lock
from lossatlas.schema import Quantity, done_variable, split_variable, standard_error_variable
from lossatlas.surveying.arrays import Grid, GridArrays, Mask, Tile

__all__ = ["SurveyStore", "glanced_at", "merged_grid", "stored_survey"]

POLL = 0.1
"""Seconds between looks at tiles that others work on."""
SAME = 1e-9
"""Coordinates that differ by less than this share of their axis are the same point."""


class SurveyStore:
    """A survey's arrays in a zarr v3 group, on disk or in memory; opened by :func:`xarray.open_zarr`.

    Several processes may write one store: each tile is claimed by the one that works on it, and what changes the
    store's structure is done by one at a time. Both are locks that the system takes back from a process that was
    killed.

    Args:
        path: a directory; None keeps everything in memory.
        grid: per axis its ascending coordinates. A store that exists may have fewer: it is then brought to these, and
            keeps what it knows.
        attributes: of the data set. A store that exists must have equal ones.
        labels: what plots call the axes, by axis; default their names.
        recorded: further attributes, of which a store that exists keeps its own.

    Raises:
        BadInput: the store that is there is another survey's; the first difference is named. Or it has points that the
            grid lacks, or another process writes to it while the grid is to change.
    """

    def __init__(
        self,
        path: Path | None,
        grid: Grid,
        attributes: Mapping[str, Any],
        labels: Mapping[str, str] | None = None,
        recorded: Mapping[str, Any] | None = None,
    ) -> None:
        self._path = path
        self._where: Any = str(path) if path is not None else zarr.storage.MemoryStore()
        self._writers: Lock | None = None
        attributes, labels = dict(attributes), labels or {}
        if path is None:
            self._arrays = GridArrays.started(self._where, grid, {**attributes, **(recorded or {})}, labels)
            return
        # Whoever changes what is there is refused while others hold this.
        self._writers = Lock(self._lock_file("writers"))
        try:
            with self._structure():
                _recover(path)
                if path.exists():
                    self._adopt(path, grid, attributes, labels, self._writers)
                else:
                    _put_in_place(path, grid, {**attributes, **(recorded or {})}, labels)
                self._writers.share()
                self._arrays = GridArrays(self._where, self._stored_grid(grid))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def grid(self) -> Grid:
        """Per axis its coordinates, as they are stored."""
        return self._arrays.grid

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the grid."""
        return self._arrays.shape

    @property
    def attributes(self) -> dict[str, Any]:
        """Those of the data set."""
        return dict(self._arrays.group.attrs)

    def close(self) -> None:
        """Let others change what is there."""
        if self._writers is not None:
            self._writers.release()

    def add(
        self,
        split: str,
        group: str,
        quantities: Mapping[Quantity, int | None],
        attributes: Mapping[str, Any],
        errors: Sequence[str] = (),
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        """Make the arrays of one group of metrics on one split, as far as they are not there.

        The mark is made last, and made anew where a metric joins its group: the group is then evaluated again, which
        costs no more than the newcomer alone.

        Args:
            split: its name.
            group: of metrics.
            quantities: and how many values each has at a point, where it has several.
            attributes: data and settings of the group.
            errors: metrics whose standard errors are written, too.
            dtype: of the values.

        Raises:
            BadInput: the group is there with other data or settings; the first difference is named.
        """
        done = done_variable(split, group)
        variables: dict[str, tuple[Quantity, int | None, str]] = {}
        for quantity, length in quantities.items():
            variables[split_variable(split, quantity.name)] = (quantity, length, "")
            if quantity.name in errors:
                name = standard_error_variable(split, quantity.name)
                variables[name] = (quantity, length, "standard error of ")
        with self._structure():
            self.check(split, group, quantities, attributes)
            lacking = [name for name in variables if name not in self._arrays]
            joining = done in self._arrays
            if joining and not lacking:
                return
            if joining and self._writers is not None and not self._writers.alone(wait=False):
                raise BadInput(f"another process writes to {self._path}; add metrics when it has finished")
            for name in lacking:
                quantity, length, prefix = variables[name]
                attrs = {
                    "long_name": f"{prefix}{split} {quantity.long_name}",
                    "units": quantity.units,
                    "split": split,
                    "metric": quantity.name,
                    "record": quantity.record,
                }
                further = {} if length is None or quantity.dimension is None else {quantity.dimension: length}
                self._arrays.create(name, dtype, attrs, further)
            self._arrays.create(done, np.bool_, attributes)
            if self._writers is not None:
                self._writers.share()

    def check(self, split: str, group: str, quantities: Iterable[Quantity], attributes: Mapping[str, Any]) -> None:
        """Refuse a group that :meth:`add` would refuse for what it is; changes nothing.

        Raises:
            BadInput: the group is there with other data or settings, or a metric means something else there.
        """
        done = done_variable(split, group)
        if done in self._arrays:
            _compare(f"{done} in the survey", dict(self._arrays[done].attrs), attributes)
        for quantity in quantities:
            name = split_variable(split, quantity.name)
            if name in self._arrays:
                stored = self._arrays[name].attrs.get("record", quantity.record)
                if stored != quantity.record:
                    raise BadInput(f"{name} in the survey is {stored}, this one {quantity.record}; choose another path")

    def settings(self, split: str, group: str) -> dict[str, Any]:
        """Data and settings of a group that is there; empty where it is not."""
        done = done_variable(split, group)
        return dict(self._arrays[done].attrs) if done in self._arrays else {}

    def put(self, name: str, values: npt.NDArray[Any], attributes: Mapping[str, Any]) -> None:
        """Write a whole variable of the grid's shape, such as the target."""
        with self._structure():
            self._arrays.create(name, values.dtype, attributes)
            self._arrays.write(name, ..., values)

    def put_beside(
        self, name: str, dimensions: Sequence[str], values: npt.NDArray[Any], attributes: Mapping[str, Any]
    ) -> None:
        """Write a whole variable that is not on the grid, such as a path; its dimensions have no coordinates."""
        with self._structure():
            self._arrays.put_beside(name, tuple(dimensions), values, attributes)

    def work(
        self, split: str, group: str, wanted: Mask | None = None, while_waiting: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[Tile, Mask]]:
        """Each tile that has points to evaluate, and which of its points these are.

        A tile that comes is this process's until the next one is asked for. Those that others work on come last, if
        anything is left of them then; when the iterator ends, all wanted points are done.

        Args:
            split: its name.
            group: of metrics.
            wanted: which points of the grid; default all.
            while_waiting: called again and again while others work on all that is left; may raise.
        """
        left = [tile for tile in self._arrays.tiles() if self._missing(split, group, tile, wanted).any()]
        while left:
            busy = []
            for tile in left:
                with self._claim(split, group, tile) as mine:
                    if not mine:
                        busy.append(tile)
                    elif (missing := self._missing(split, group, tile, wanted)).any():
                        yield tile, missing
            if busy and len(busy) == len(left):
                while_waiting()
                time.sleep(POLL)
            left = busy

    def write(
        self, split: str, group: str, tile: Tile, where: Mask, values: Mapping[str, npt.NDArray[np.float64]]
    ) -> None:
        """Write values at some points of a tile, then their marks.

        Args:
            split: its name.
            group: of metrics.
            tile: where it lies.
            where: (tile's shape) which of its points.
            values: per metric (K,) or (K, k) at these K points, in their order.
        """
        for name, array in values.items():
            self._arrays.write_points(split_variable(split, name), tile, where, array)
        marks = np.ones(int(where.sum()), dtype=bool)
        self._arrays.write_points(done_variable(split, group), tile, where, marks)

    def done(self, split: str, group: str) -> Mask:
        """Which points of the grid are evaluated."""
        return self._arrays.read(done_variable(split, group))

    def values(self, variable: str) -> npt.NDArray[np.float64]:
        """A whole variable as it stands."""
        return self._arrays.read(variable).astype(np.float64)

    def fill_in(self, variable: str, values: npt.NDArray[np.float64]) -> None:
        """Write a whole variable of which some was evaluated and the rest made of that; marks stay as they are."""
        with self._structure():
            self._arrays.write(variable, ..., values)

    def __contains__(self, variable: str) -> bool:
        return variable in self._arrays

    def is_whole(self, variable: str) -> bool:
        """Whether :meth:`put_beside` wrote a variable to its end."""
        return self._arrays.is_whole(variable)

    def alone(self, what: str) -> AbstractContextManager[bool]:
        """To be held around what one process does while all others wait for it."""
        return nullcontext(True) if self._path is None else lock(self._lock_file(what))

    def open(self) -> xr.Dataset:
        """The survey as it stands."""
        if self._path is not None:
            return open_store(self._path)
        survey: xr.Dataset = xr.open_zarr(self._where, consolidated=False, chunks=None)
        return survey

    def _missing(self, split: str, group: str, tile: Tile, wanted: Mask | None) -> Mask:
        try:
            unknown: Mask = ~self._arrays.read(done_variable(split, group), tile)
        except BadInput:  # a mark that cannot be read marks nothing: the tile is written anew
            unknown = np.ones([part.stop - part.start for part in tile], dtype=bool)
        return unknown if wanted is None else unknown & wanted[tile]

    def _structure(self) -> AbstractContextManager[bool]:
        """To be held while the store's structure changes."""
        return self.alone("structure")

    def _claim(self, split: str, group: str, tile: Tile) -> AbstractContextManager[bool]:
        if self._path is None:
            return nullcontext(True)
        place = "-".join(str(part.start) for part in tile)
        return lock(self._lock_file(f"{done_variable(split, group)}-{place}"), wait=False)

    def _lock_file(self, what: str) -> Path:
        """Beside the store: zarr does not like what is not its own."""
        assert self._path is not None
        return self._path.with_name(f".{self._path.name}.locks") / what

    def _stored_grid(self, grid: Grid) -> Grid:
        stored = self.open()
        return {axis: stored[axis].values for axis in grid}

    def _adopt(
        self, path: Path, grid: Grid, attributes: Mapping[str, Any], labels: Mapping[str, str], writers: Lock
    ) -> None:
        """Check the store that is there, and bring it to the grid that is wanted where that has more points."""
        _sweep(path)
        try:
            stored = self.open()
        except Exception as error:  # whatever is wrong with it, it is no survey
            raise BadInput(
                f"{path} is no survey that can be continued ({first_line(error)}); choose another"
            ) from error
        _compare(f"the survey in {path}", stored.attrs, attributes)
        merged = merged_grid(path, stored, grid)
        if all(len(coords) == stored.sizes[axis] for axis, coords in merged.items()):
            return
        if not writers.alone(wait=False):
            raise BadInput(f"another process writes to {path}; add points when it has finished")
        _put_in_place(path, merged, stored.attrs, labels, stored)


def stored_survey(path: Path) -> xr.Dataset:
    """What a store on disk holds, read whole.

    Raises:
        BadInput: it cannot be read, or asks for what it may not; see :func:`~lossatlas.files.stores.check_store`.
    """
    try:
        return open_store(path).load()
    except LossatlasError:
        raise
    except Exception as error:  # codecs fail in many ways on bytes that are not theirs
        raise Unreadable(path, first_line(error)) from error


def glanced_at(path: Path) -> xr.Dataset | None:
    """A store on disk as it is now, not read yet; None where there is none, or one that is not whole.

    For those who can do without: who writes to it says what is wrong, or makes it whole.
    """
    try:
        return open_store(path)
    except BadInput:
        return None


def merged_grid(path: Path, stored: xr.Dataset, grid: Grid) -> dict[str, npt.NDArray[np.float64]]:
    """The grid that is wanted, with the coordinates of a survey that is there in place of their equals.

    Raises:
        BadInput: the survey has other axes, or points that are not wanted.
    """
    if set(stored.coords) != set(grid):
        axes = ", ".join(map(str, stored.coords))
        raise BadInput(f"the survey in {path} has another grid, along {axes}; choose another path")
    return {axis: _merged(path, axis, stored[axis].values, coords) for axis, coords in grid.items()}


def _merged(
    path: Path, axis: str, stored: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The wanted coordinates with those that are stored in place of their equals.

    Raises:
        BadInput: some that are stored are not wanted.
    """
    if np.array_equal(stored, wanted):
        return stored
    nearest = np.abs(wanted[:, None] - stored[None]).argmin(axis=0)
    reach = SAME * max(float(np.ptp(stored)), float(np.ptp(wanted)))
    if (np.abs(wanted[nearest] - stored) > reach).any() or len(set(nearest.tolist())) < len(stored):
        raise BadInput(
            f"the survey in {path} has another grid: {len(stored)} points along {axis} that the {len(wanted)} wanted "
            f"do not hold; choose a number that does, such as {2 * len(stored) - 1}, or another path"
        )
    merged = wanted.astype(np.float64).copy()
    merged[nearest] = stored
    return merged


def _put_in_place(
    path: Path, grid: Grid, attributes: Mapping[Any, Any], labels: Mapping[str, str], known: xr.Dataset | None = None
) -> None:
    """A store with all its coordinates, made beside its place and moved there whole; what is known comes with it."""
    fresh = path.with_name(f".{path.name}.partial")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        arrays = GridArrays.started(str(fresh), grid, attributes, labels)
        if known is not None:
            stored = {axis: known[axis].values for axis in grid}
            arrays.take_over(GridArrays(str(path), stored), known)
            os.replace(path, _replaced(path))
        os.replace(fresh, path)
        _recover(path)
    except OSError as error:
        _recover(path)
        shutil.rmtree(fresh, ignore_errors=True)
        raise cannot_write(path, error) from error


def _replaced(path: Path) -> Path:
    """Where a store is for the moment in which another takes its place."""
    return path.with_name(f".{path.name}.replaced")


def _recover(path: Path) -> None:
    """Undo a replacement that was cut off, or clear up after one."""
    if path.exists():
        shutil.rmtree(_replaced(path), ignore_errors=True)
    elif _replaced(path).exists():
        os.replace(_replaced(path), path)


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
