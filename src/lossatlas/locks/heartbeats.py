"""Heartbeats: how processes that hold leases tell others that they live, by counters in files.

No clock is compared with another one's. Who looks at a counter measures, on its own monotonic clock, for how long it
has not moved.
"""

from __future__ import annotations

import atexit
import os
import re
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

__all__ = ["BEAT", "LEASE_SECONDS", "Heart", "Life", "Watch", "read_short", "watch", "write_new"]

LEASE_SECONDS = 120.0
"""For how long the counter of a process may stand still before others take its leases."""
BEATS = 6
"""How many times a counter is raised in that time."""
LOOKS = 3
"""How many looks at a counter it takes at least to find that it stands still: a file system that stalls for all, or an
observer that was stopped, is not mistaken for the end of the others."""
BEAT = "beat-"
"""What the names of the files with counters begin with; the owner follows."""
SHORT = 1000
"""The most bytes that are read of a file that belongs to a lease."""
HOST = 60
"""The most characters of the name of a machine in the name of a process."""


NOT_THROUGH_LINKS = getattr(os, "O_NOFOLLOW", 0)
TRIES = 20
"""How many times a folder is made again that others have just removed because it was empty."""


class Life(Enum):
    """What is known of a process from its counter."""

    SEEN = "its counter has moved before an observer's eyes"
    UNKNOWN = "its counter has not been seen moving"
    LOST = "its counter has stood still for too long, or has been removed"


@dataclass
class _Look:
    """What an observer has seen of one counter."""

    content: bytes
    last: float
    """When it was looked at, in seconds of the observer's monotonic clock."""
    still: float = 0.0
    """For how many seconds it has not moved."""
    moved: bool = False


@dataclass
class Watch:
    """An observer of other processes' counters."""

    _looks: dict[str, _Look] = field(default_factory=dict)
    _elders: set[str] = field(default_factory=set)
    """Owners that were there before this process, and may have been dead by then."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, folder: Path, owner: str) -> Life:
        """Look at the counter of a process.

        Args:
            folder: of leases.
            owner: the process.
        """
        try:
            content = read_short(folder / f"{BEAT}{owner}")
        except OSError:  # nothing is known as long as the disk does not answer
            return Life.UNKNOWN
        return Life.LOST if content is None else self.compare(owner, content)

    def compare(self, key: str, content: bytes) -> Life:
        """Say what it means that a counter, or another sign of life, has a content now."""
        with self._lock:
            now, seen = time.monotonic(), self._looks.get(key)
            if seen is None or seen.content != content:
                self._looks[key] = _Look(content, now, moved=seen is not None)
                return Life.UNKNOWN if seen is None else Life.SEEN
            seen.still += min(now - seen.last, LEASE_SECONDS / LOOKS)
            seen.last = now
            if seen.still >= LEASE_SECONDS:
                return Life.LOST
            return Life.SEEN if seen.moved else Life.UNKNOWN

    def last_content(self, key: str) -> bytes:
        """The content at the last look."""
        with self._lock:
            seen = self._looks.get(key)
            return b"" if seen is None else seen.content

    def note_elders(self, folder: Path) -> None:
        """Note who is there before this process takes a lease in a folder."""
        with suppress(OSError):
            names = [file.name for file in folder.iterdir()]
            with self._lock:
                self._elders |= {name.removeprefix(BEAT) for name in names if name.startswith(BEAT)}

    def has_lived_beside(self, owner: str) -> bool:
        """Whether a process is known to have lived at the same time as this one: it came later, or was seen moving."""
        with self._lock:
            seen = self._looks.get(owner)
            return seen is not None and (seen.moved or owner not in self._elders)


watch = Watch()
"""This process's observer of all others."""


class Heart:
    """The heartbeat of this process in one folder of leases, as long as it holds or wants a lease there.

    Attributes:
        owner: The name by which leases are this process's, unlike any other's.
        folder: Where the counter is.

    Args:
        folder: which is created where it is missing.

    Raises:
        OSError: the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        host = re.sub(r"[^A-Za-z0-9.]", "-", socket.gethostname())[:HOST]
        self.owner = f"{host}-{os.getpid()}-{secrets.token_hex(6)}"
        self.folder = folder
        self._uses = 0
        self._count = 0
        self._ended = threading.Event()
        watch.note_elders(folder)
        self._beat()
        self._thread = threading.Thread(target=self._live, name=f"heartbeat in {folder}", daemon=True)
        self._thread.start()

    @staticmethod
    def of(folder: Path) -> Heart:
        """The heartbeat in a folder, to be given up by :meth:`give_up` as many times as it was requested."""
        folder = folder.absolute()
        with _changing:
            heart = _hearts.get(folder)
            if heart is None:
                heart = _hearts[folder] = Heart(folder)
            heart._uses += 1
            return heart

    @property
    def is_own(self) -> bool:
        """Whether it is this process's, and not one of which this process is a fork."""
        return self in _hearts.values() or self in _moved

    def give_up(self) -> None:
        """Say that one of those that use it does so no longer; with the last one it ends, and leaves nothing."""
        with _changing:
            if not self.is_own:
                return
            self._uses -= 1
            if self._uses:
                return
            if _hearts.get(self.folder) is self:
                del _hearts[self.folder]
            _moved.discard(self)
            self._ended.set()
        self._thread.join()
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
            self.folder.rmdir()  # unless others are there

    def move(self, folder: Path) -> None:
        """Go on in a folder that was renamed."""
        folder = folder.absolute()
        with _changing:
            if folder == self.folder or not self.is_own:
                return
            if _hearts.get(self.folder) is self:
                del _hearts[self.folder]
            self.folder = folder
            if folder in _hearts:
                _moved.add(self)
            else:
                _hearts[folder] = self

    @property
    def _file(self) -> Path:
        return self.folder / f"{BEAT}{self.owner}"

    def _live(self) -> None:
        while not self._ended.wait(LEASE_SECONDS / BEATS):
            with suppress(OSError):  # a stalled, full or removed disk: others go on with what this process holds
                self._beat()

    def _beat(self) -> None:
        """Raise the counter; it is written again where it was removed by others, who took this process for lost."""
        self._count += 1
        content = b"%020d\n" % self._count
        try:
            handle = os.open(self._file, os.O_WRONLY | NOT_THROUGH_LINKS)
        except FileNotFoundError:
            if self._count > 1:
                if not self.folder.is_dir():  # removed with what is in it, or about to be told of its new place
                    return
                write_new(self._file, content, folders=False)
            else:
                write_new(self._file, content)
            return
        try:
            os.pwrite(handle, content, 0)
        finally:
            os.close(handle)  # which is when network file systems let others see it


_changing = threading.RLock()
_hearts: dict[Path, Heart] = {}
_moved: set[Heart] = set()
"""Those in a folder that was moved to where there was another one."""


def read_short(path: Path) -> bytes | None:
    """Read a file of leases; None where it is missing.

    Raises:
        OSError: the disk refuses.
    """
    try:
        handle = os.open(path, os.O_RDONLY | NOT_THROUGH_LINKS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return os.pread(handle, SHORT, 0)
    finally:
        os.close(handle)


def write_new(path: Path, content: bytes, *, folders: bool = True) -> bool:
    """Create a file with a content, unless there is one.

    Args:
        path: the file; of all that attempt it at once, one creates it.
        content: all of it.
        folders: whether to create its folder, in a folder that exists.

    Returns:
        Whether it was created.

    Raises:
        OSError: the disk refuses; then there is nothing.
    """
    for left in reversed(range(TRIES)):
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOT_THROUGH_LINKS, 0o666)
            break
        except FileExistsError:
            return False
        except FileNotFoundError:
            if not folders or not left:
                raise
            with suppress(FileExistsError):
                path.parent.mkdir()
    try:
        os.write(handle, content)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(handle)
    return True


@atexit.register
def _end() -> None:
    """Let others have at once what was not released, as locks are when a process ends."""
    for heart in (*_hearts.values(), *_moved):
        heart._ended.set()
        heart._thread.join(1)  # a disk that does not answer keeps nobody from ending
        with suppress(OSError):
            heart._file.unlink(missing_ok=True)


def _forget() -> None:
    """Begin anew in a fork, where heartbeats are another process's."""
    global _changing
    _changing = threading.RLock()
    _hearts.clear()
    _moved.clear()
    watch._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
