"""How far a run of any kind is, who works on it and what of it failed, read without changing anything."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lossatlas.errors import LossatlasError
from lossatlas.files.inside import is_plain_name
from lossatlas.files.reading import Unreadable, open_file, parse_json, read_bytes, read_json
from lossatlas.locks import is_running
from lossatlas.presence.counting import Counted, count_stores
from lossatlas.presence.failures import Failure, read_failures
from lossatlas.presence.records import Record, is_folder, is_living, list_records, read_living, shorten
from lossatlas.rundir import LOG, PROVENANCE, WRITERS, RunDirectory

__all__ = ["Part", "Status", "read_status", "record_runs"]

RUNS = "runs"
"""The folder of a study that holds its runs, and the entry of its configuration that names them."""
SURVEYS = "surveys"
"""The folder of a comparison that holds its surveys."""
LISTED = "runs.json"
"""The file of a comparison that names its surveys."""
MOST_PARTS = 10_000
"""The most runs of a study or a comparison that are looked at."""
TAIL = 2**16
"""The bytes at the end of a log that are looked at."""

State = Literal["finished", "being written", "not running"]


@dataclass(frozen=True)
class Part:
    """One run of a study or a comparison."""

    name: str
    state: Literal["finished", "running", "begun", "left"]
    """Whether it is finished, written by a process now, begun and left by all, or not there yet."""
    counts: tuple[Counted, ...] = ()
    """How far its surveys are, if it is begun and not finished."""


@dataclass(frozen=True)
class Status:
    """How a run stands.

    Attributes:
        run: The run directory, as it was given.
        verb: What made the run: the verb, or ``reproduce``.
        state: ``finished``, ``being written`` by a process that is known to live, or ``not running``.
        writer: The process that writes it, where that is known by the run's lock alone, in words.
        counts: By store, split and group of metrics the points that are done.
        steps_done: The number of steps of a fit or a training, by its log; None of other runs.
        steps: The number of steps that it is to have, where its configuration says so.
        parts: The runs of a study or a comparison.
        processes: The processes that work on it and live.
        lost: Those that have ended without having said so, or have not been heard of for long.
        rate: Points per second, of all of these.
        seconds_left: Until all points are done at this rate; None where that is not known.
        failures: The tiles and runs that were given up.
    """

    run: str
    verb: str
    state: State
    writer: str
    counts: tuple[Counted, ...]
    steps_done: int | None
    steps: int | None
    parts: tuple[Part, ...]
    processes: tuple[Record, ...]
    lost: tuple[Record, ...]
    rate: float
    seconds_left: float | None
    failures: tuple[Failure, ...]


def read_status(run: Path | str) -> Status:
    """Return how a run stands; changes nothing, and may be asked of a run that others write.

    Args:
        run: the run directory.

    Raises:
        BadInput: the path holds no run, or a run of another version; or a link in it leads elsewhere.
    """
    place = RunDirectory(run)
    place.check()
    config = _read_config(place)
    found = list_records(place.path)
    living = [record for record in found if is_living(record)]
    writer = _find_writer(place.path)
    state = _find_state(place, bool(living or writer))
    counts = tuple(count_stores(place.path, config))
    rate = sum(record.rate for record in living)
    left = sum(count.wanted - count.done for count in counts)
    known = state == "being written" and rate > 0 and counts and all(count.exact for count in counts)
    done, steps = _count_steps(place.path), config.get("steps")
    return Status(
        run=str(run),
        verb=_find_verb(place.path),
        state=state,
        writer="" if living else writer,
        counts=counts,
        steps_done=done,
        steps=steps if done is not None and isinstance(steps, int) else None,
        parts=tuple(_list_parts(place.path, config)),
        processes=tuple(living),
        lost=() if state == "finished" else tuple(record for record in found if record not in living),
        rate=rate,
        seconds_left=left / rate if known else None,
        failures=() if state == "finished" else tuple(read_failures(place.path)),
    )


def _find_state(run: RunDirectory, written: bool) -> State:
    # A finished run that grows is not finished while it does: its summary is taken away.
    return "finished" if run.finished else "being written" if written else "not running"


def _find_verb(run: Path) -> str:
    """Return the verb that made a run; a study's provenance names the study instead."""
    with suppress(Unreadable):
        found = read_json(run / PROVENANCE, dict[str, Any])
        return shorten(str(found.get("verb", "") or ("reproduce" if "study" in found else "")))
    return ""


def _read_config(run: RunDirectory) -> dict[str, Any]:
    """Return the configuration of a run; nothing where it cannot be read."""
    with suppress(LossatlasError):
        return run.config()
    return {}


def _find_writer(run: Path) -> str:
    """Return which process of this machine holds the lock of a run, in words; empty where none is known to.

    The lock itself is not touched: to try it could have another process refused that asks for it at this moment.
    """
    with suppress(Unreadable, ValueError, UnicodeDecodeError, OSError):
        number, host, since = read_bytes(run / WRITERS, 400).decode().strip().split(" ", 2)
        if host == socket.gethostname() and _holds_lock(int(number), (run / WRITERS).stat().st_ino):
            return f"process {int(number)} on {shorten(host)} since {shorten(since)}"
    return ""


def _holds_lock(pid: int, inode: int) -> bool:
    """Return whether a process of this machine lives and holds a lock on a file, where the system tells of locks."""
    if not is_running(pid):
        return False
    try:
        table = read_bytes("/proc/locks", 2**24)
    except Unreadable:  # a system that does not tell
        return True
    return any(re.match(rb"\d+: FLOCK +\w+ +\w+ +%d \S+:%d " % (pid, inode), line) for line in table.splitlines())


def _count_steps(run: Path) -> int | None:
    """Return how many steps the log of a run has, by the last of them; None where it has no log, or nothing in it."""
    try:
        with open_file(run / LOG) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - TAIL))
            lines = file.read(TAIL).splitlines()
    except (Unreadable, OSError):
        return None
    for line in reversed(lines):  # the last one may be half written
        with suppress(ValueError):
            step = parse_json(line, dict[str, Any]).get("step")
            return step + 1 if isinstance(step, int) else None  # the first one is 0
    return None


def record_runs(run: RunDirectory, names: list[str]) -> None:
    """Record the names of the surveys that a comparison consists of, so that others know how many are left.

    Raises:
        CannotFinish: the disk refuses.
    """
    if _read_names(run.path) != names:
        run.write_json(LISTED, {RUNS: names})


def _read_names(run: Path) -> list[str]:
    with suppress(Unreadable):
        return read_json(run / LISTED, dict[str, list[str]]).get(RUNS, [])
    return []


def _list_parts(run: Path, config: dict[str, Any]) -> Iterator[Part]:
    """Yield the runs of a study or a comparison: those that it consists of, and others that lie among them."""
    stated = config.get(RUNS)
    if isinstance(stated, dict):
        folder, names = run / RUNS, list(map(str, stated))
    else:
        folder, names = run / SURVEYS, _read_names(run)
    if is_folder(folder):
        with suppress(OSError):
            names += sorted(set(os.listdir(folder)) - set(names))  # noqa: PTH208 (names alone)
    for name in names[:MOST_PARTS]:
        if is_plain_name(name):
            with suppress(LossatlasError, OSError):
                yield _look_at(folder / name, name)


def _look_at(path: Path, name: str) -> Part:
    """Return how one run of a study or a comparison stands."""
    run = RunDirectory(path)
    if not is_folder(path) or not run.is_run:
        return Part(name, "left")
    if run.finished:
        return Part(name, "finished")
    written = bool(read_living(path) or _find_writer(path))
    return Part(name, "running" if written else "begun", tuple(count_stores(path, _read_config(run))))
