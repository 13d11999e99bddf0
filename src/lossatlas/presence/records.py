"""The records of processes that work on a run: what is in them, and which of them are of processes that still live.

Each process has a file of its own, ``.workers/HOST-PID.json`` in the run directory, and replaces it every few seconds.
Whoever reads one takes it for what anybody may have written.
"""

from __future__ import annotations

import os
import random
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from math import isfinite
from pathlib import Path

from lossatlas.errors import BadInput, escape_unprintable
from lossatlas.files.inside import is_plain_name
from lossatlas.files.reading import Unreadable, read_bytes, read_json
from lossatlas.files.writing import PARTIAL
from lossatlas.locks import is_running
from lossatlas.provenance import describe_difference, fingerprint_code, list_versions

__all__ = [
    "SILENT_SECONDS",
    "WORKERS",
    "Record",
    "WorkerRecord",
    "check_alike",
    "find_birth",
    "is_folder",
    "is_living",
    "list_records",
    "name_record",
    "now",
    "parse_time",
    "read_living",
    "read_records",
    "shorten",
    "sweep_records",
]

WORKERS = ".workers"
"""The folder in a run directory that holds the records."""
SILENT_SECONDS = 600.0
"""The seconds of silence after which a process of another machine counts as dead."""
MOST_RECORDS = 20_000
"""The most entries of the folder that are looked at."""
MOST_BYTES = 2**22
"""The largest size of a record in bytes: a thousand workers take a quarter of a megabyte."""
MOST_ALL = 2**28
"""The largest size in bytes of all records that are read."""
COMPARED = 64
"""The most processes that one which joins is compared with."""
LONGEST = 120
"""The most characters of a text in a record that are shown."""


@dataclass(frozen=True)
class WorkerRecord:
    """One worker that carries out tasks for a process, itself in another process and perhaps on another machine."""

    name: str
    host: str
    pid: int
    device: str = ""
    """The kind of device."""
    doing: str = ""
    """What it does now; empty while it waits for a task."""
    since: str = ""
    """Since when it does that, in UTC; empty where that is not known."""
    tiles: int = 0
    """The number of tiles, or runs, that it has finished."""
    points: int = 0
    """The number of points that it has evaluated."""
    lost: int = 0
    """How many processes of this name were lost before this one."""


@dataclass(frozen=True)
class Record:
    """What a process says of itself that works on a run.

    Attributes:
        born: When the system started the process, in clock ticks since the machine's own start; None where the system
            does not tell. With it a process is told from a later one of the same number.
        started: When it began with the run, in UTC.
        time: When it wrote this, in UTC.
        beat: How many times it has written it.
        executor: How it has tiles evaluated; empty where it evaluates them itself.
        versions: Of Python and of the packages that results depend on.
        code: The fingerprint of lossatlas's own source files.
        share: How far the phase is, in [0, 1]; None where that is not known.
        points: The number of points that were evaluated by it, or for it, since it started.
        seconds: Since it started.
        rate: Points per second of late.
    """

    host: str
    pid: int
    time: str
    started: str = ""
    born: int | None = None
    beat: int = 0
    executor: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    code: str = ""
    device: str = ""
    phase: str = ""
    share: float | None = None
    points: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    workers: list[WorkerRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        parse_time(self.time)
        numbers = (self.rate, self.seconds, self.points, self.share or 0.0)
        if not 0 < self.pid < 2**31 or min(numbers) < 0 or not all(map(isfinite, numbers)):
            raise ValueError("a number in it is out of range")

    @property
    def is_own(self) -> bool:
        """Whether it is of this process."""
        return (self.host, self.pid) == (socket.gethostname(), os.getpid())

    @property
    def silence(self) -> float:
        """The seconds since it was written, by the clock of this machine; negative where the clocks disagree."""
        return (datetime.now(UTC) - parse_time(self.time)).total_seconds()


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def parse_time(text: str) -> datetime:
    """Return the time that a text states; without a zone it is in UTC.

    Raises:
        ValueError: it states none.
    """
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def name_record(host: str, pid: int) -> str:
    """Return the name of the file of a process's record."""
    return f"{host.replace('/', '_')}-{pid}.json"


def find_birth(pid: int) -> int | None:
    """Return when the system started a process of this machine, in clock ticks; None where it does not tell."""
    with suppress(Unreadable, ValueError, IndexError):
        # Field 22 of proc(5); the second one is a name in parentheses, which may hold anything.
        return int(read_bytes(f"/proc/{pid}/stat", 4096).rpartition(b")")[2].split()[19])
    return None


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder itself, and not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def read_records(run: Path) -> Iterator[tuple[Path, Record | None]]:
    """Yield the files of records in a run, and what is in them: None where that is not a record.

    Links, folders and whatever else is in the folder of records are passed over. The order is random, so that many
    processes that look at a few do not look at the same ones.

    Args:
        run: the run directory.
    """
    folder = run / WORKERS
    if not is_folder(folder):
        return
    try:
        with os.scandir(folder) as entries:
            found = [
                entry.name
                for entry in islice(entries, MOST_RECORDS)
                if entry.name.endswith(".json") and not entry.name.startswith(".")
                if entry.is_file(follow_symlinks=False)
            ]
    except OSError:
        return
    random.shuffle(found)
    room = MOST_ALL
    for name in found:
        with suppress(OSError):
            room -= min((folder / name).lstat().st_size, MOST_BYTES)
        if room < 0:
            return
        try:
            record = read_json(folder / name, Record, MOST_BYTES)
        except Unreadable:  # damaged, or gone again
            yield folder / name, None
            continue
        yield folder / name, record if is_plain_name(name) and name_record(record.host, record.pid) == name else None


def is_living(record: Record) -> bool:
    """Return whether the process of a record lives, as far as this machine can know.

    One of this machine lives as long as the system has a process of its number that was started when it says. One of
    another machine lives unless it has been silent for :data:`SILENT_SECONDS`, by clocks that agree as well as that.
    """
    if record.host != socket.gethostname():
        return abs(record.silence) < SILENT_SECONDS
    if not is_running(record.pid):
        return False
    born = find_birth(record.pid)
    return record.born is None or born is None or born == record.born


def read_living(run: Path) -> list[Record]:
    """Return the records of all processes that work on a run and live, this one among them, the oldest first.

    Args:
        run: the run directory.
    """
    return [record for record in list_records(run) if is_living(record)]


def list_records(run: Path) -> list[Record]:
    """Return the records of all processes that work on a run, or were lost while they did, the oldest first.

    Args:
        run: the run directory.
    """
    found = (record for _, record in read_records(run) if record is not None)
    return sorted(found, key=lambda record: (record.started, record.host, record.pid))


def sweep_records(run: Path) -> int:
    """Remove what processes have left that are dead; returns how many others live.

    Args:
        run: the run directory.
    """
    others = 0
    for path, record in read_records(run):
        if record is None or record.is_own:
            continue
        if is_living(record):
            others += 1
            continue
        with suppress(OSError):
            path.unlink()
    if is_folder(folder := run / WORKERS):
        for left in folder.glob(f".{name_record(socket.gethostname(), 0).removesuffix('0.json')}*.json{PARTIAL}"):
            pid = left.name.removesuffix(f".json{PARTIAL}").rpartition("-")[2]
            if pid.isdecimal() and int(pid) != os.getpid() and find_birth(int(pid)) is None:  # it was killed in a write
                with suppress(OSError):
                    left.unlink()
        with suppress(OSError):
            folder.rmdir()  # unless others are in it
    return others


def check_alike(run: Path) -> None:
    """Refuse to join processes that work on a run with other versions of packages, or with another code, than this one.

    Values of a survey must not depend on who evaluated them. Each process that works on it was compared with some of
    the others, so it is enough to be compared with a few. Of several that begin at once each is told apart from the
    others if this is called while its :class:`~lossatlas.presence.Presence` is entered.

    Args:
        run: the run directory.

    Raises:
        BadInput: one that lives differs; the first difference is named.
    """
    others = (record for _, record in read_records(run) if record is not None and not record.is_own)
    for record in islice(filter(is_living, others), COMPARED):
        _compare(run, record)


def _compare(run: Path, record: Record) -> None:
    """Refuse to join a process whose versions or code are not those of this one."""
    who = f"process {record.pid} on {shorten(record.host)}, which works on {run},"
    theirs = {shorten(name): shorten(number) for name, number in record.versions.items()}, record.code
    if difference := describe_difference(who, theirs, (list_versions(), fingerprint_code())):
        raise BadInput(difference)


def shorten(text: str) -> str:
    """Return a text of unknown origin in one line of bounded length, without control characters."""
    plain = escape_unprintable(" ".join(text[: 8 * LONGEST].split()))
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
