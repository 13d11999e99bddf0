"""Where the values of a survey go: one zarr store, written tile by tile, by any number of processes."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr.storage

from lossatlas.charts import Chart
from lossatlas.describing import join_words
from lossatlas.errors import BadInput, CannotFinish, Caution, LossatlasError, format_error
from lossatlas.files.inside import check_inside
from lossatlas.files.reading import Unreadable, read_json
from lossatlas.files.stores import METADATA, VOUCHES, GroupHead, open_arrays, open_store, tell_settings
from lossatlas.locks import AUTO, AnyLock, heartbeats
from lossatlas.schema import (
    COMPANION,
    DIMENSION,
    GEOMETRY,
    RANDOM_DIRECTIONS,
    WHOLE_GRID,
    Companion,
    Quantity,
    name_marks,
    name_variable,
)
from lossatlas.surveying.arrays import WHOLE, Grid, GridArrays, Mask, Tile, list_vouched
from lossatlas.surveying.devices import add_device, create_devices, find_devices, has_device, write_device
from lossatlas.surveying.growth import merge_grid, put_in_place, read_grid, recover
from lossatlas.surveying.interpolating import interpolate_variables, read_known
from lossatlas.surveying.layout import bring_to_layout, count_marked, has_layout_of_before
from lossatlas.surveying.mending import Mending, sweep
from lossatlas.surveying.region import Region
from lossatlas.surveying.store_locks import STARTER, WRITERS, StoreLocks
from lossatlas.surveying.tile_source import TileSource, Work
from lossatlas.surveying.tile_sources.alone import Alone
from lossatlas.surveying.tile_sources.claimed import Claimed

__all__ = ["SurveyStore", "count_evaluated", "glance_at", "has_description", "list_whole_variables", "read_survey"]

PATIENCE = 5
"""For how many times as long as a lease lasts it is waited for arrays that the starter of a store is about to make."""
LOOK = 0.2
"""Seconds between two looks at whether it has."""


class SurveyStore:
    """A survey's arrays in a zarr v3 group, on disk or in memory; opened by :func:`xarray.open_zarr`.

    Several processes may write one store: a tile source hands out its tiles, each to one of them at a time, and what
    changes the store's structure is done by one at a time, under locks that the system takes back from a process that
    was killed.

    Where locks cannot be trusted they are leases (:mod:`lossatlas.locks.leases`). A process that was stopped for long
    may then go on beside the one that took its leases. Therefore one process alone makes arrays over the grid, the
    starter, which was alone when it opened the store; those that join it wait for these arrays and mend nothing, and
    one of them becomes the starter when that one has ended or was lost.

    Whatever is not whole is lacking. Tiles are marked once their values are written, and other arrays say so once all
    of them was; until then they are part of the :meth:`work`, and :meth:`put` and :meth:`put_beside` write them. What
    cannot be read when a store is opened again is taken away, and the marks that vouched for it.

    Args:
        path: a directory; None keeps everything in memory.
        grid: per axis its ascending coordinates. A store that exists may have fewer: it is then brought to these, and
            keeps what it knows.
        attributes: of the data set. A store that exists must have equal ones.
        labels: what plots call the axes, by axis; default their names.
        recorded: further attributes, of which a store that exists keeps its own.
        say: told in one line of each array that was damaged; default a warning.
        tiles: hands out the store's tiles, whoever asks: those that fill it, mend it or bring it to another grid. All
            that open a store at once use one kind. Default locks or leases beside a directory, and every tile for the
            asking in memory.
        joined: whether another process has opened the store and claims the tiles that this one writes, as a head does
            for its workers: nothing is locked, mended or made then, and of the grid only the axes matter.
        claims: "locks" of the system or "leases"; "auto" is what others use who write to the store, or else what the
            file system allows (:func:`~lossatlas.locks.choose_claims`).
        region: which the grid is made finer for, if it is: a store that is brought to it is interpolated at new points
            from the moment when it is there.

    Attributes:
        tiles: That source.

    Raises:
        BadInput: the store that is there is another survey's; the first difference is named. Or it has points that the
            grid lacks, its own description or a coordinate is damaged, another process writes to it while the grid is
            to change, or others write to it with leases and this one would with locks, or the other way round.
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
        tiles: TileSource | None = None,
        joined: bool = False,
        claims: str = AUTO,
        region: Region | None = None,
    ) -> None:
        self._path = path
        # xarray takes a path that begins with ~ for one in a home directory.
        self._where: Any = str(path.absolute()) if path is not None else zarr.storage.MemoryStore()
        self._locks = locks = StoreLocks(path) if path is not None else None
        self.tiles: TileSource = tiles or Alone()
        self._writers: AnyLock | None = None
        self._starter: AnyLock | None = None
        self._opened: GridArrays | None = None
        self._say = say or _warn
        attributes, labels = dict(attributes), labels or {}
        if path is None or locks is None:
            self._opened = GridArrays.started(self._where, grid, {**attributes, **(recorded or {})}, labels)
            return
        if joined:
            self._locks, self.tiles = None, tiles or Alone()
            check_inside(path)
            self._opened = GridArrays(self._where, read_grid(path, grid))
            _compare(f"the survey in {path}", self.attributes, attributes)
            return
        if path.exists() and not has_description(path) and not locks.folder.exists():
            raise BadInput(f"{path} is not a survey that can be continued; choose another path")
        locks.settle(claims)
        self.tiles = tiles or Claimed(locks)
        try:
            # A process that changes the structure is refused while others hold this lock.
            self._writers = writers = locks.make(WRITERS)
            with locks.held("structure"):
                recover(path)
                if path.exists():
                    self._adopt(path, grid, attributes, labels, locks, writers, region)
                else:
                    put_in_place(path, grid, {**attributes, **(recorded or {})}, labels)
                    self._may_change()
                with locks.writing(WRITERS):
                    writers.share()
                self._opened = locks.arrays = GridArrays(self._where, read_grid(path, grid))
            locks.recheck()
        except BaseException:
            self.close()
            raise

    @classmethod
    def of_chart(
        cls,
        path: Path | None,
        chart: Chart,
        grid: Grid,
        labels: Mapping[str, str] | None = None,
        recorded: Mapping[str, Any] | None = None,
        say: Callable[[str], None] | None = None,
        tiles: TileSource | None = None,
        claims: str = AUTO,
        region: Region | None = None,
    ) -> Self:
        """The store of a chart's survey, which says whose it is and records the chart's geometry.

        Args:
            path: as for the class, and likewise all that follows.
            chart: whose points are evaluated.
            grid: per axis of the chart its ascending coordinates.
            labels: what plots call the axes; default the chart's own.
            recorded: further attributes.
            say: told of each array that was damaged.
            tiles: hands out the tiles.
            claims: locks, leases or auto.
            region: which the grid is made finer for.

        Raises:
            BadInput: as the class.
            CannotFinish: likewise.
        """
        geometry = {GEOMETRY: chart.geometry().record()}
        if chart.random_directions:
            geometry[RANDOM_DIRECTIONS] = json.dumps(dict(chart.random_directions))
        labels = labels if labels is not None else chart.axis_labels
        recorded = {**geometry, **(recorded or {})}
        own = {"chart": chart.fingerprint()}
        return cls(path, grid, own, labels, recorded, say, tiles, claims=claims, region=region)

    @classmethod
    def join(cls, path: Path, chart: Chart) -> Self:
        """The store of a chart's survey that another one has opened, on the grid that it has; see ``joined``.

        Raises:
            BadInput: it is another survey's, or a coordinate is damaged.
        """
        return cls(path, dict.fromkeys(chart.axes, np.empty(0)), {"chart": chart.fingerprint()}, joined=True)

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
        if self._starter is not None:
            self._starter.release()
            self._starter = None
        if self._writers is None or self._path is None or self._locks is None:
            return
        if self._opened is not None:
            with suppress(CannotFinish, OSError), self._held("structure"):
                if self._writers.alone(wait=False):
                    sweep(self._path)
                    self._locks.sweep(self._writers)
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

        The marks are made last, and made again where a metric joins its group: the group is then evaluated again, which
        costs no more than the newcomer alone. They vouch for what is written before them and for nothing else. Where
        points are still to be evaluated and a metric of the group is not among those given, marks vouch for it no
        longer, since it will be lacking there: it is a newcomer when it is asked for again.

        Args:
            split: its name.
            group: of metrics.
            quantities: and how many values each has at a point, where it has several.
            attributes: data and settings of the group.
            companions: by metric what is written beside it.
            dtype: of the values.

        Raises:
            BadInput: the group is there with other data or settings; the first difference is named. Or another process
                writes to the store while metrics join their group, or are left out of it; under leases also where the
                group is not there and the starter does not make it.
        """
        done = name_marks(split, group)
        told: dict[str, dict[str, Any]] = {}
        further: dict[str, dict[str, int]] = {}
        for quantity, length in quantities.items():
            more = _further(quantity, length)
            for companion in (None, *(companions or {}).get(quantity.name, ())):
                variable = name_variable(split, quantity.name)
                name = variable if companion is None else companion.of(variable)
                told[name], further[name] = {**_told(split, quantity, companion), **tell_settings(attributes)}, more
        began = time.monotonic()
        while True:
            with self._held("structure"):
                self.check(split, group, quantities, attributes)
                lacking = [name for name in told if not self._arrays.fits(name, dtype, further[name])]
                there = self._arrays.fits(done, np.bool_)
                vouched = list_vouched(self._arrays[done]) if there else []
                joining = bool(lacking) or not told.keys() <= set(vouched)
                leaving = [name for name in vouched if name not in told]
                if there and not joining and (not leaving or self.done(split, group).all()):
                    return
                if there and self._writers is not None and not self._is_alone(self._writers):
                    raise self._refuse_while_written(() if joining else leaving)
                if self._may_change():
                    if there and not joining:
                        self._arrays.vouch(done, list(told))
                    else:
                        for name in lacking:
                            self._arrays.create(name, dtype, told[name], further[name])
                        create_devices(self._arrays, done)
                        self._arrays.create(done, np.bool_, {**attributes, VOUCHES: list(told)})
                    self._arrays.describe()
                    if self._writers is not None:
                        self._writers.share()
                    return
            self._wait_for_starter(f"{split} {group}", began)

    def _is_alone(self, writers: AnyLock) -> bool:
        """Whether no other process writes to the store, which the lock then keeps so; waits for what is not clear."""
        return writers.alone(wait=False) or (writers.outlast() and writers.alone(wait=False))

    def _may_change(self) -> bool:
        """Whether this process may make arrays over the grid, while it holds the structure: under leases, the starter.

        Where there is none, or that one was lost, it becomes this process.
        """
        if self._locks is None or not self._locks.are_leases:
            return True
        if self._starter is not None and not self._starter.in_place:  # since this process was stopped for long
            self._starter.release()
            self._starter = None
        if self._starter is None:
            self._starter = self._locks.take(STARTER)
        return self._starter is not None

    def _wait_for_starter(self, what: str, began: float) -> None:
        """Wait a moment for what the starter is about to make, and say so at first.

        Args:
            what: a group of metrics on a split.
            began: when the waiting began.

        Raises:
            BadInput: it has taken too long.
        """
        assert self._locks is not None
        starter, waited = self._locks.make(STARTER), time.monotonic() - began
        holder = starter.holder()
        starter.release()
        if waited > PATIENCE * heartbeats.LEASE_SECONDS:
            raise BadInput(
                f"{holder}, which began {self._path}, has not made {what} there; under leases it alone does: ask for "
                "the same splits and metrics, or continue when it has finished"
            )
        if waited < LOOK:
            self._say(f"waiting for {holder}, which makes the arrays of {self._path}, to make {what}")
        time.sleep(LOOK)

    def _refuse_while_written(self, leaving: Sequence[str]) -> BadInput:
        """The error of who changes what marks vouch for while others rely on it.

        Args:
            leaving: what they would vouch for no longer; nothing where a metric joins.
        """
        if not leaving:
            return BadInput(f"another process writes to {self._path}; add metrics when it has finished")
        return BadInput(
            f"another process writes to {self._path}, which also holds {join_words(leaving)}; name those metrics as "
            "well, or continue when it has finished"
        )

    def check(
        self, split: str, group: str, quantities: Mapping[Quantity, int | None], attributes: Mapping[str, Any]
    ) -> None:
        """Refuse a group that :meth:`add` would refuse for what it is; changes nothing.

        Raises:
            BadInput: the group is there with other data or settings, a metric means something else there or has another
                number of values, or one of its names stands for something else there.
        """
        if settings := self.settings(split, group):
            _compare(f"split {split!r} of the survey ({group})", settings, attributes)
        new = dict(quantities)
        for quantity, length in quantities.items():
            name = name_variable(split, quantity.name)
            if name in self._arrays:
                del new[quantity]
                stored = self._arrays[name].attrs.get("record", "")
                if stored != quantity.record:
                    raise BadInput(f"{name} in the survey is {stored}, this one {quantity.record}; choose another path")
                there, here = self._arrays.further(name), _further(quantity, length)
                if there != here:
                    raise BadInput(
                        f"{name} in the survey has {_counted(there)} at a point, this one {_counted(here)}; choose "
                        "another path, or another name for the metric"
                    )
        lengths = self._arrays.lengths() if new else {}
        for quantity, length in new.items():
            name, dimension = name_variable(split, quantity.name), quantity.dimension
            if name in lengths:
                raise BadInput(f"{name} is a dimension in the survey; give metric {quantity.name!r} another name")
            if dimension is not None and dimension in self._arrays:
                raise BadInput(f"{dimension} is a variable in the survey; give the dimension another name")
            if dimension is not None and lengths.get(dimension, length) != length:
                raise BadInput(
                    f"dimension {dimension!r} has {lengths[dimension]} values in the survey, and {length} in metric "
                    f"{quantity.name!r}; give it another name, or choose another path"
                )

    def settings(self, split: str, group: str) -> dict[str, Any]:
        """Data and settings of a group that is there; empty where it is not."""
        done = name_marks(split, group)
        return dict(self._arrays[done].attrs) if done in self._arrays else {}

    def put(self, name: str, values: npt.NDArray[Any], attributes: Mapping[str, Any]) -> None:
        """Write a whole variable of the grid's shape, such as the target, unless it is there."""
        with self._held("structure"):
            self._arrays.put(name, values, attributes)
            self._arrays.describe()

    def put_beside(
        self, name: str, dimensions: Sequence[str], values: npt.NDArray[Any], attributes: Mapping[str, Any]
    ) -> None:
        """Write a whole variable that is not on the grid, such as a path, unless it is there.

        Its dimensions have no coordinates.
        """
        with self._held("structure"):
            self._arrays.put_beside(name, tuple(dimensions), values, attributes)
            self._arrays.describe()

    def lacks(self, *names: str) -> bool:
        """Whether any of these variables was not written to its end by :meth:`put` or :meth:`put_beside`."""
        return not all(self._arrays.is_whole(name) for name in names)

    @property
    def begun(self) -> frozenset[str]:
        """The variables that there are, whole or not."""
        return frozenset(self._arrays)

    def work(
        self, split: str, group: str, wanted: Mask | None = None, listen: Callable[[], None] = lambda: None
    ) -> Work:
        """What a group of metrics is still to be evaluated at, for a tile source to hand out.

        Args:
            split: its name.
            group: of metrics.
            wanted: which points of the grid; default all.
            listen: called again and again where many tiles are looked through; may raise.
        """
        return self.work_of(name_marks(split, group), wanted, listen)

    def work_of(self, marks: str, wanted: Mask | None = None, listen: Callable[[], None] = lambda: None) -> Work:
        """What is still to be evaluated, by the name of the array that says what is, see :meth:`work`."""
        return Work(self._arrays, marks, wanted, listen)

    def write(
        self,
        split: str,
        group: str,
        tile: Tile,
        where: Mask,
        values: Mapping[str, npt.NDArray[np.float64]],
        device: str = "",
        known: Mask | None = None,
    ) -> None:
        """Write values at some points of a tile, then their marks.

        Another process may write to the tile, too, if this one was stopped for long and lost its claim. What that one
        has found in the meantime may be overwritten by what this one read before; its marks then go with it.

        Args:
            split: its name.
            group: of metrics.
            tile: where it lies.
            where: (tile's shape) which of its points.
            values: per metric (K,) or (K, k) at these K points, in their order.
            device: the kind of device that found them, for :meth:`find_devices`.
            known: (tile's shape) which points were marked when the tile was claimed; default those that are now.
        """
        for name, array in values.items():
            self._arrays.write_points(name_variable(split, name), tile, where, array)
        count, marks = int(where.sum()), name_marks(split, group)
        write_device(self._arrays, marks, tile, where, device)
        if known is None:
            self._arrays.write_points(marks, tile, where, np.ones(count, dtype=bool))
        else:
            self._arrays.write(marks, tile, where | known)

    @property
    def marks(self) -> frozenset[str]:
        """The names of the arrays that say which points are evaluated, one for each split and group of metrics."""
        return frozenset(self._arrays.marks())

    @property
    def known(self) -> Mask:
        """Which points of the grid are evaluated on all splits and in all groups of metrics."""
        return read_known(self._arrays, sorted(self.marks))

    def find_devices(self, split: str, group: str, tile: Tile | None = None) -> set[str]:
        """The kinds of devices that evaluated the marked points of a tile, or of all tiles, as far as it is recorded.

        Equal kinds find equal values under one plan; others differ in the last bits, which is why what is evaluated
        together in a tile comes from one.

        Args:
            split: its name.
            group: of metrics.
            tile: where; None for everywhere.
        """
        return find_devices(self._arrays, name_marks(split, group), tile)

    def name_device(self, split: str, group: str, device: str) -> None:
        """Record a kind of device by which tiles are evaluated, for :meth:`find_devices`, unless it is recorded.

        Args:
            split: its name.
            group: of metrics.
            device: the kind of device.
        """
        marks = name_marks(split, group)
        if not has_device(self._arrays, marks, device):
            with self._held("structure"):
                add_device(self._arrays, marks, device)

    def done(self, split: str, group: str, tile: Tile | None = None) -> Mask:
        """Which points of the grid, or of a tile, are evaluated."""
        return self._arrays.read(name_marks(split, group), ... if tile is None else tile)

    def values(self, variable: str) -> npt.NDArray[np.float64]:
        """A whole variable as it stands."""
        return self._arrays.read(variable).astype(np.float64)

    def interpolate(self, coarsest: Mask, parts: Iterable[tuple[str, str]] | None = None) -> None:
        """Fill the gaps between the points that were evaluated, see :func:`interpolate_variables`; marks stay.

        Args:
            coarsest: (U, V, ...) the points that decide in which numbers.
            parts: the splits and groups of metrics; default all that there are.

        Raises:
            BadInput: a corner of the grid is not evaluated.
            CannotFinish: the disk refuses.
        """
        marks = sorted(self.marks) if parts is None else [name_marks(*part) for part in parts]
        with self._held("interpolation"), self._held("structure"):
            interpolate_variables(self._arrays, coarsest, marks)
            self._arrays.describe()

    def alone(self, what: str) -> AbstractContextManager[None]:
        """To be held around what one process does while all others wait for it."""
        return self._held(what)

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

    def _held(self, what: str) -> AbstractContextManager[None]:
        """To hold one of the store's locks alone; a store in memory has no need of them."""
        return self._locks.held(what) if self._locks is not None else nullcontext()

    def _adopt(
        self,
        path: Path,
        grid: Grid,
        attributes: Mapping[str, Any],
        labels: Mapping[str, str],
        locks: StoreLocks,
        writers: AnyLock,
        region: Region | None,
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
        merged, there = merge_grid(path, grid), read_grid(path, grid)
        grows = any(len(coords) != len(there[axis]) for axis, coords in merged.items())
        with locks.writing(WRITERS):
            alone = self._is_alone(writers) if grows else writers.alone(wait=False)
        if alone:
            locks.sweep(writers)
            self._may_change()
            bring_to_layout(path)
        else:
            self.tiles.scatter()
        if not alone and has_layout_of_before(path):
            raise BadInput(f"another process of an earlier version writes to {path}; continue when it has finished")
        arrays = GridArrays(str(path), there)
        if alone or not locks.are_leases:
            with arrays.writing():
                if alone:
                    sweep(path)
                for line in Mending(path, arrays, alone, self.tiles).mend():
                    self._say(line)
                arrays.describe()
        if not grows:
            return
        if not alone or any(self.tiles.is_held(Work(arrays, mark)) for mark in arrays.marks()):
            raise BadInput(f"another process writes to {path}; add points when it has finished")
        kept = {key: value for key, value in found.items() if key != WHOLE_GRID}
        if region is None:
            put_in_place(path, merged, kept, labels, arrays)
        else:
            put_in_place(path, merged, {**kept, WHOLE_GRID: region.record()}, labels, arrays, region.complete)


def read_survey(path: Path) -> xr.Dataset:
    """What a store on disk holds, read whole.

    Raises:
        BadInput: it cannot be read, or asks for what it may not; see :func:`~lossatlas.files.stores.check_store`.
    """
    try:
        return open_store(path).load()
    except LossatlasError:
        raise
    except Exception as error:  # codecs fail in many ways on bytes that are not theirs
        raise Unreadable(path, format_error(error)) from error


def glance_at(path: Path) -> xr.Dataset | None:
    """A store on disk as it is now, not read yet; None where there is none, or one that is not whole.

    For those who can do without: who writes to it says what is wrong, or makes it whole.
    """
    try:
        return open_store(path)
    except BadInput:
        return None


def count_evaluated(path: Path, split: str, group: str) -> int:
    """How many points of a store on disk, which :func:`glance_at` has found sound, a group of metrics is evaluated at.

    Marks that are not there, or cannot be read, mark nothing.
    """
    return count_marked(path, name_marks(split, group))


def has_description(path: Path) -> bool:
    """Whether there is a store with its description at a path."""
    return (path / METADATA).is_file()


def list_whole_variables(survey: xr.Dataset) -> set[str]:
    """What of a store :meth:`SurveyStore.put` and :meth:`SurveyStore.put_beside` have written to its end."""
    return {str(name) for name, variable in survey.variables.items() if WHOLE in variable.attrs}


def _warn(line: str) -> None:
    warnings.warn(line, Caution, stacklevel=2)


def _further(quantity: Quantity, length: int | None) -> dict[str, int]:
    """The dimension of a metric's values at a point, and how long it is; nothing where there is one value."""
    return {} if length is None or quantity.dimension is None else {quantity.dimension: length}


def _counted(further: Mapping[str, int]) -> str:
    """The values at a point in words."""
    return " and ".join(f"{length} along {name!r}" for name, length in further.items()) or "one value"


def _compare(what: str, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        if stored.get(key) != value:
            raise BadInput(f"{what} has {key} = {stored.get(key)!r}, this one {value!r}; choose another path")


def _told(split: str, quantity: Quantity, companion: Companion | None) -> dict[str, str]:
    """The attributes of a metric's variable, or of one beside it."""
    prefix = "" if companion is None else f"{companion.suffix.replace('_', ' ')} of "
    told = {
        "long_name": f"{prefix}{split} {quantity.long_name}",
        "units": quantity.units,
        "split": split,
        "metric": quantity.name,
    }
    if quantity.record:  # an empty text is not an attribute to all of netCDF
        told["record"] = quantity.record
    if quantity.dimension is not None:
        told[DIMENSION] = quantity.dimension
    return told if companion is None else {**told, COMPANION: companion.suffix}
