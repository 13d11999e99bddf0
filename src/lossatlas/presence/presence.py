"""What a process writes into the directory of a run while it works on it, for others to read."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import msgspec

from lossatlas.files.writing import PARTIAL
from lossatlas.presence.records import (
    SILENT_SECONDS,
    WORKERS,
    Record,
    WorkerRecord,
    find_birth,
    is_folder,
    name_record,
    now,
    sweep_records,
)
from lossatlas.provenance import fingerprint_code, list_versions
from lossatlas.rundir import PROVENANCE

__all__ = ["Pace", "Presence"]

BEAT_SECONDS = 5.0
"""The seconds between two writes, at least."""
MOST_BEATS = 100
"""The most writes in a second of all processes that work on a run: of more than 500, each writes less often."""
SLOWEST_SECONDS = SILENT_SECONDS / 6
"""The seconds between two writes, at most."""
STALL_SECONDS = 30.0
"""The seconds that a write may take before the user is told."""
WAITING_SECONDS = 2.0
"""The most seconds that the beginning and the end wait for a write."""


@dataclass
class Pace:
    """The number of points that were done, and how fast of late: in the last two minutes, and the last few tiles.

    >>> pace = Pace(started=0.0)
    >>> for second in range(1, 11):
    ...     pace.add(60, float(second * 20))
    >>> pace.points, pace.rate(200.0)
    (600, 3.0)
    """

    started: float
    """Seconds of a clock."""
    points: int = 0
    _marks: deque[tuple[float, int]] = field(default_factory=deque)
    """Per second, at most, the points that were done by then."""

    WINDOW = 120.0
    FEWEST = 4

    def __post_init__(self) -> None:
        self._marks.append((self.started, 0))

    def add(self, points: int, at: float) -> None:
        """Count points that were done by a time."""
        self.points += points
        if at - self._marks[-1][0] >= 1.0:
            self._marks.append((at, self.points))
        while len(self._marks) > self.FEWEST and self._marks[1][0] <= at - self.WINDOW:
            self._marks.popleft()

    def rate(self, at: float) -> float:
        """Return the points per second of late."""
        since, before = self._marks[0]
        return (self.points - before) / max(at - since, 1e-3)


def _tell_nobody(line: str) -> None:
    """Say nothing, where nobody listens."""


class Presence:
    """A context in which others see that this process works on a run.

    A thread of its own writes a record every few seconds, and removes it in the end. That of a process that was killed
    stays until another one sees that it is dead. Nothing here ends the work: where the disk refuses, nothing is
    written, and where it does not answer, another thread, which does not touch it, says so once.

    Args:
        run: the run directory, which exists.
        executor: how tiles are evaluated; empty where this process does so itself.
        device: the kind of device that this process computes on.
        say: called from another thread with a line for the user: the run directory does not answer, or answers again.
    """

    def __init__(
        self, run: Path, *, executor: str = "", device: str = "", say: Callable[[str], None] | None = None
    ) -> None:
        self._run = run
        self._folder = run / WORKERS
        self._host, self._pid = socket.gethostname(), os.getpid()
        self._path = self._folder / name_record(self._host, self._pid)
        self._say = say if say is not None else _tell_nobody
        self._lock = threading.Lock()
        self._pace = Pace(time.monotonic())
        self._record = Record(
            self._host,
            self._pid,
            time=now(),
            started=now(),
            born=find_birth(self._pid),
            executor=executor,
            versions=list_versions(),
            code=fingerprint_code(),
            device=device,
        )
        self._begun, self._ended = threading.Event(), threading.Event()
        self._writing_since: float | None = None
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for work in (self._beat, self._watch):
            thread = threading.Thread(target=work, name=f"lossatlas presence {work.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._begun.wait(WAITING_SECONDS)  # others that begin now see this one, or this one sees them
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(WAITING_SECONDS)  # one that a stalled mount holds is left behind

    def update(
        self,
        *,
        phase: str | None = None,
        share: float | None = None,
        points: int = 0,
        workers: Iterable[WorkerRecord] | None = None,
    ) -> None:
        """Say how things stand, which writes nothing by itself and takes no time.

        Args:
            phase: what is done now; None leaves it as it is.
            share: how far the phase is, in [0, 1]; None leaves it as it is, unless the phase is another one.
            points: the points that were done since the last call, by this process or by workers for it.
            workers: the workers that this process has now; None leaves them as they are.
        """
        with self._lock:
            self._pace.add(points, time.monotonic())
            changes: dict[str, Any] = {}
            if phase is not None and phase != self._record.phase:
                changes |= {"phase": phase, "share": None}
            if share is not None:
                changes["share"] = min(max(share, 0.0), 1.0)
            if workers is not None:
                changes["workers"] = list(workers)
            self._record = replace(self._record, **changes)

    def _beat(self) -> None:
        """Write the record again and again, and remove it in the end."""
        pause = BEAT_SECONDS
        while True:
            with self._touching():
                self._write()
            if not self._begun.is_set():
                self._begun.set()
                with self._touching():
                    pause = min(max(pause, sweep_records(self._run) / MOST_BEATS), SLOWEST_SECONDS)
            if self._ended.wait(pause):
                break
        with self._touching():
            self._path.unlink(missing_ok=True)
            self._folder.rmdir()  # unless others are in it

    def _watch(self) -> None:
        """Say once that a write has not come back for long, and once that it has; touches nothing itself."""
        stalled = False
        while not self._ended.wait(min(1.0, STALL_SECONDS / 4)):
            since = self._writing_since
            if since is None and stalled:
                stalled = False
                self._say(f"{self._run} answers again")
            elif since is not None and not stalled and time.monotonic() - since > STALL_SECONDS:
                stalled = True
                self._say(
                    f"{self._run} has not answered for {STALL_SECONDS:.0f} s (a stalled mount?); waiting for it; "
                    "nothing is lost"
                )

    @contextmanager
    def _touching(self) -> Iterator[None]:
        """Hold this around what touches the disk; what the disk refuses is left undone."""
        self._writing_since = time.monotonic()
        try:
            with suppress(OSError):
                yield
        finally:
            self._writing_since = None

    def _write(self) -> None:
        """Replace the record on disk, which need not outlast a power failure.

        Raises:
            OSError: the system refuses, or the run was removed.
        """
        if not is_folder(self._folder):
            if not (self._run / PROVENANCE).is_file():
                return  # the run was removed, or its folder of records is a link
            self._folder.mkdir()
        temporary = self._path.with_name(f".{self._path.name}{PARTIAL}")
        # A link in its place is not followed.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(self._state()))
            os.replace(temporary, self._path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise

    def _state(self) -> Record:
        """Return the record as it is now; each has the number of its beat."""
        with self._lock:
            at = time.monotonic()
            self._record = replace(
                self._record, time=now(), beat=self._record.beat + 1, points=self._pace.points,
                seconds=at - self._pace.started, rate=self._pace.rate(at),
            )  # fmt: skip
            return self._record
