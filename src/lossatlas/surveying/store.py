"""Where the values of a survey go: one zarr store, written tile by tile, by any number of processes."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
import zarr.storage

from lossatlas.errors import BadInput, CannotFinish, Caution, LossatlasError, in_one_line
from lossatlas.files.inside import check_inside
from lossatlas.files.reading import Unreadable, read_json, reason_of
from lossatlas.files.stores import METADATA, ArrayHead, GroupHead, dangerous_chunks, open_arrays, open_store, read_head
from lossatlas.files.writing import PARTIAL, cannot_write
from lossatlas.locks import Lock
from lossatlas.schema import COMPANION, DIMENSION, Companion, Quantity, done_variable, split_variable
from lossatlas.surveying.arrays import VOUCHES, WHOLE, Grid, GridArrays, Mask, Tile
from lossatlas.surveying.mending import Mending, swept

__all__ = ["SurveyStore", "glanced_at", "has_description", "merged_grid", "stored_survey", "whole_variables"]

POLL = 0.1
"""Seconds between looks at tiles that others work on."""
SAME = 1e-9
"""Coordinates that differ by less than this share of their axis are the same point."""


class SurveyStore:
    """A survey's arrays in a zarr v3 group, on disk or in memory; opened by :func:`xarray.open_zarr`.

    Several processes may write one store: each tile is claimed by the one that works on it, and what changes the
    store's structure is done by one at a time. Both are locks that the system takes back from a process that was
    killed.

    Whatever is not whole is lacking. Tiles are marked once their values are written, and other arrays say so once all
    of them was; until then :meth:`work` names them, and :meth:`put` and :meth:`put_beside` write them. What cannot be
    read when a store is opened again is taken away, and the marks that vouched for it.

    Args:
        path: a directory; None keeps everything in memory.
        grid: per axis its ascending coordinates. A store that exists may have fewer: it is then brought to these, and
            keeps what it knows.
        attributes: of the data set. A store that exists must have equal ones.
        labels: what plots call the axes, by axis; default their names.
        recorded: further attributes, of which a store that exists keeps its own.
        say: told in one line of each array that was damaged; default a warning.

    Raises:
        BadInput: the store that is there is another survey's; the first difference is named. Or it has points that the
            grid lacks, its own description or a coordinate is damaged, or another process writes to it while the grid
            is to change.
        CannotFinish: the disk refuses.
    """

    def __init__(
        self,
        path: Path | None,
        grid: Grid,
        attributes: Mapping[str, Any],
        labels: Mapping[str, str] | None = None,
        recorded: Mapping[str, Any] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._path = path
        # xarray takes a path that begins with ~ for one in somebody's home.
        self._where: Any = str(path.absolute()) if path is not None else zarr.storage.MemoryStore()
        self._writers: Lock | None = None
        self._opened: GridArrays | None = None
        attributes, labels = dict(attributes), labels or {}
        if path is None:
            self._opened = GridArrays.started(self._where, grid, {**attributes, **(recorded or {})}, labels)
            return
        if path.exists() and not has_description(path) and not self._locks.exists():
            raise BadInput(f"{path} is not a survey that can be continued; choose another path")
        try:
            # Whoever changes what is there is refused while others hold this.
            self._writers = self._lock("writers")
            with self._held("structure"):
                _recover(path)
                if path.exists():
                    self._adopt(path, grid, attributes, labels, self._writers, say or _warn)
                else:
                    _put_in_place(path, grid, {**attributes, **(recorded or {})}, labels)
                self._writers.share()
                self._opened = GridArrays(self._where, _stored_grid(path, grid))
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
        """Let others change what is there; the last of several removes what those that were killed have left."""
        if self._writers is None or self._path is None:
            return
        if self._opened is not None:
            with suppress(CannotFinish, OSError), self._held("structure"):
                if self._writers.alone(wait=False):
                    swept(self._path)
        self._writers.release()
        self._writers = None

    def add(
        self,
        split: str,
        group: str,
        quantities: Mapping[Quantity, int | None],
        attributes: Mapping[str, Any],
        companions: Mapping[str, Sequence[Companion]] | None = None,
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
            companions: by metric what is written beside it.
            dtype: of the values.

        Raises:
            BadInput: the group is there with other data or settings; the first difference is named.
        """
        done = done_variable(split, group)
        told: dict[str, dict[str, str]] = {}
        further: dict[str, dict[str, int]] = {}
        for quantity, length in quantities.items():
            more = {} if length is None or quantity.dimension is None else {quantity.dimension: length}
            for companion in (None, *(companions or {}).get(quantity.name, ())):
                variable = split_variable(split, quantity.name)
                name = variable if companion is None else companion.of(variable)
                told[name], further[name] = _told(split, quantity, companion), more
        with self._held("structure"):
            self.check(split, group, quantities, attributes)
            lacking = [name for name in told if not self._arrays.fits(name, dtype, further[name])]
            joining = self._arrays.fits(done, np.bool_)
            if joining and not lacking:
                return
            if joining and self._writers is not None and not self._writers.alone(wait=False):
                raise BadInput(f"another process writes to {self._path}; add metrics when it has finished")
            for name in lacking:
                self._arrays.create(name, dtype, told[name], further[name])
            self._arrays.create(done, np.bool_, {**attributes, VOUCHES: list(told)})
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
        """Write a whole variable of the grid's shape, such as the target, unless it is there."""
        with self._held("structure"):
            self._arrays.put(name, values, attributes)

    def put_beside(
        self, name: str, dimensions: Sequence[str], values: npt.NDArray[Any], attributes: Mapping[str, Any]
    ) -> None:
        """Write a whole variable that is not on the grid, such as a path, unless it is there.

        Its dimensions have no coordinates.
        """
        with self._held("structure"):
            self._arrays.put_beside(name, tuple(dimensions), values, attributes)

    def lacks(self, *names: str) -> bool:
        """Whether any of these variables was not written to its end by :meth:`put` or :meth:`put_beside`."""
        return not all(self._arrays.is_whole(name) for name in names)

    @property
    def begun(self) -> frozenset[str]:
        """The variables that there are, whole or not."""
        return frozenset(self._arrays)

    def work(
        self, split: str, group: str, wanted: Mask | None = None, listen: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[Tile, Mask]]:
        """Each tile that has points to evaluate, and which of its points these are.

        A tile that comes is this process's until the next one is asked for. Those that others work on come last, if
        anything is left of them then; when the iterator ends, all wanted points are done.

        Args:
            split: its name.
            group: of metrics.
            wanted: which points of the grid; default all.
            listen: called again and again where many tiles are looked through, and while others work on all that is
                left; may raise.
        """
        done = done_variable(split, group)
        left: Iterable[Tile] = self._unfinished(done, wanted, listen)
        while True:
            busy, idle = [], True
            for tile in left:
                with self._claim(done, tile) as mine:
                    if not mine:
                        busy.append(tile)
                        continue
                    idle = False
                    if (missing := self._missing(done, tile, wanted)).any():
                        yield tile, missing
            if not busy:
                return
            if idle:
                listen()
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
        with self._held("structure"):
            self._arrays.write(variable, ..., values)

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """To be held around what one process does while all others wait for it."""
        with self._held(what):
            yield

    def open(self) -> xr.Dataset:
        """The survey as it stands.

        Raises:
            CannotFinish: it was removed.
        """
        self._arrays.check_there()
        return open_arrays(self._where)

    @property
    def _arrays(self) -> GridArrays:
        assert self._opened is not None
        return self._opened

    def _unfinished(self, done: str, wanted: Mask | None, listen: Callable[[], None]) -> Iterator[Tile]:
        """The tiles in which something is missing, of which there may be too many to list."""
        for number, part in enumerate(self._arrays.parts()):
            if number:
                listen()
            missing = self._missing(done, part, wanted)
            if not missing.any():
                continue
            for tile in self._arrays.tiles(part):
                inside = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(tile, part, strict=True))
                if missing[tuple(inside)].any():
                    yield tile

    def _missing(self, done: str, part: Tile, wanted: Mask | None) -> Mask:
        try:
            unknown: Mask = ~self._arrays.read(done, part)
        except BadInput:  # a mark that cannot be read marks nothing: the tile is written anew
            unknown = np.ones([side.stop - side.start for side in part], dtype=bool)
        return unknown if wanted is None else unknown & wanted[part]

    def _claim(self, done: str, tile: Tile) -> AbstractContextManager[bool]:
        """To be held while a tile is evaluated; whether it is this process's."""
        return self._held(f"{done}-{'-'.join(str(part.start) for part in tile)}", wait=False)

    @contextmanager
    def _held(self, what: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold one of the store's locks alone; whether it is held. A store in memory has no need of them."""
        if self._path is None:
            yield True
            return
        held = self._lock(what)
        try:
            yield held.alone(wait=wait)
        finally:
            held.release()

    @property
    def _locks(self) -> Path:
        """The folder of the store's locks, beside it: zarr does not like what is not its own."""
        assert self._path is not None
        return self._path.with_name(f".{self._path.name}.locks")

    def _lock(self, what: str) -> Lock:
        file = self._locks / what
        try:
            with self._opened.writing() if self._opened is not None else nullcontext():
                return Lock(file)
        except OSError as error:
            raise cannot_write(file, error) from error

    def _adopt(
        self,
        path: Path,
        grid: Grid,
        attributes: Mapping[str, Any],
        labels: Mapping[str, str],
        writers: Lock,
        say: Callable[[str], None],
    ) -> None:
        """Check the store that is there, mend it, and bring it to the grid that is wanted."""
        check_inside(path)
        try:
            found = read_json(path / METADATA, GroupHead).attributes
        except Unreadable as error:
            raise BadInput(
                f"{path} is not a survey that can be continued ({error.reason}); choose another path"
            ) from error
        _compare(f"the survey in {path}", found, attributes)
        merged = merged_grid(path, grid)
        alone = writers.alone(wait=False)
        arrays = GridArrays(str(path), _stored_grid(path, grid))
        with arrays.writing():
            if alone:
                swept(path)
            for line in Mending(path, arrays, alone, self._claim).lines():
                say(line)
        if all(len(coords) == len(arrays.grid[axis]) for axis, coords in merged.items()):
            return
        if not alone:
            raise BadInput(f"another process writes to {path}; add points when it has finished")
        _put_in_place(path, merged, found, labels, arrays)


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
        raise Unreadable(path, in_one_line(error)) from error


def glanced_at(path: Path) -> xr.Dataset | None:
    """A store on disk as it is now, not read yet; None where there is none, or one that is not whole.

    For those who can do without: who writes to it says what is wrong, or makes it whole.
    """
    try:
        return open_store(path)
    except BadInput:
        return None


def has_description(path: Path) -> bool:
    """Whether there is a store with its description at a path."""
    return (path / METADATA).is_file()


def whole_variables(survey: xr.Dataset) -> set[str]:
    """What of a store :meth:`SurveyStore.put` and :meth:`SurveyStore.put_beside` have written to its end."""
    return {str(name) for name, variable in survey.variables.items() if WHOLE in variable.attrs}


def merged_grid(path: Path, grid: Grid) -> dict[str, npt.NDArray[np.float64]]:
    """The grid that is wanted, with the coordinates of a survey that is there in place of their equals.

    Raises:
        BadInput: the survey has other axes, or points that are not wanted; or a coordinate is damaged.
    """
    return {axis: _merged(path, axis, stored, grid[axis]) for axis, stored in _stored_grid(path, grid).items()}


def _stored_grid(path: Path, wanted: Grid) -> dict[str, npt.NDArray[np.float64]]:
    """The coordinates of a survey that is there, in the order of the axes that are wanted.

    Raises:
        BadInput: it has other axes; or a coordinate is damaged.
    """
    folders = sorted(each for each in path.iterdir() if each.is_dir())
    axes = [each.name for each in folders if each.name in wanted or _is_axis(each)]
    if set(axes) != set(wanted):
        raise BadInput(f"the survey in {path} has another grid, along {', '.join(axes)}; choose another path")
    return {axis: _coordinate(path, axis) for axis in wanted}


def _is_axis(folder: Path) -> bool:
    """Whether an array in a folder lies along a dimension of its own name."""
    try:
        return read_json(folder / METADATA, ArrayHead).dimension_names == [folder.name]
    except Unreadable:  # which is looked at when the store is mended
        return False


def _coordinate(path: Path, axis: str) -> npt.NDArray[np.float64]:
    try:
        for _, reason in dangerous_chunks(path / axis, read_head(path / axis)):
            raise ValueError(reason)
        found = np.asarray(zarr.open_array(str(path / axis), mode="r")[...], dtype=np.float64)
        if found.ndim == 1 and np.isfinite(found).all() and (np.diff(found) > 0).all():
            return found
        reason = "its numbers do not rise"
    except Exception as error:  # zarr has many ways to find an array damaged
        reason = reason_of(error)
    raise BadInput(
        f"{path} is damaged: the coordinates along {axis} cannot be read ({reason}); look at the rest with lossatlas "
        "view, and survey anew with --overwrite"
    )


def _merged(
    path: Path, axis: str, stored: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The wanted coordinates with those that are stored in place of their equals.

    Raises:
        BadInput: some that are stored are not wanted.
    """
    if np.array_equal(stored, wanted):
        return stored
    nearest = np.searchsorted((wanted[1:] + wanted[:-1]) / 2, stored)
    reach = SAME * max(float(np.ptp(stored)), float(np.ptp(wanted)))
    far = len(stored) > len(wanted) or (np.abs(wanted[nearest] - stored) > reach).any()
    if far or len(np.unique(nearest)) < len(stored):
        raise BadInput(
            f"the survey in {path} has another grid: {len(stored)} points along {axis} that the {len(wanted)} wanted "
            f"do not hold; choose a number that does, such as {2 * len(stored) - 1}, or another path"
        )
    merged = wanted.astype(np.float64).copy()
    merged[nearest] = stored
    return merged


def _put_in_place(
    path: Path, grid: Grid, attributes: Mapping[Any, Any], labels: Mapping[str, str], known: GridArrays | None = None
) -> None:
    """A store with all its coordinates, made beside its place and moved there whole; what is known comes with it."""
    try:
        arrays = GridArrays.started(str(_fresh(path).absolute()), grid, attributes, labels)
        if known is not None:
            arrays.take_over(known)
            os.replace(path, _replaced(path))
        os.replace(_fresh(path), path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        _recover(path)


def _fresh(path: Path) -> Path:
    """Where a store is made that is to take the place of another, or of none."""
    return path.with_name(f".{path.name}{PARTIAL}")


def _replaced(path: Path) -> Path:
    """Where a store is for the moment in which another takes its place."""
    return path.with_name(f".{path.name}.replaced")


def _recover(path: Path) -> None:
    """Undo a replacement that was cut off, or clear up after one."""
    shutil.rmtree(_fresh(path), ignore_errors=True)
    if path.exists():
        shutil.rmtree(_replaced(path), ignore_errors=True)
    elif _replaced(path).exists():
        os.replace(_replaced(path), path)


def _told(split: str, quantity: Quantity, companion: Companion | None) -> dict[str, str]:
    """The attributes of a metric's variable, or of one beside it."""
    prefix = "" if companion is None else f"{companion.suffix.replace('_', ' ')} of "
    told = {
        "long_name": f"{prefix}{split} {quantity.long_name}",
        "units": quantity.units,
        "split": split,
        "metric": quantity.name,
        "record": quantity.record,
    }
    if quantity.dimension is not None:
        told[DIMENSION] = quantity.dimension
    return told if companion is None else {**told, COMPANION: companion.suffix}


def _warn(line: str) -> None:
    warnings.warn(line, Caution, stacklevel=2)


def _compare(what: str, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        if stored.get(key) != value:
            raise BadInput(f"{what} has {key} = {stored.get(key)!r}, this one {value!r}; choose another path")
