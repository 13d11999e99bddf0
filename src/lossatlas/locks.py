"""Locks between processes, which the system takes back from one that was killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks on this system: writers may then do the same work twice
    fcntl = None  # type: ignore[assignment]

__all__ = ["Lock", "lock"]


class Lock:
    """The lock that a file stands for; the file is made if need be and stays.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def share(self, *, wait: bool = True) -> bool:
        """Hold it together with others that share it; whether it is held."""
        return self._take(shared=True, wait=wait)

    def alone(self, *, wait: bool = True) -> bool:
        """Hold it alone; whether it is held. One that was shared is still shared if not."""
        return self._take(shared=False, wait=wait)

    def release(self) -> None:
        """Let others have it; for good."""
        if self._handle is not None:
            os.close(self._handle)  # and with it goes the lock
            self._handle = None

    def _take(self, *, shared: bool, wait: bool) -> bool:
        if fcntl is None or self._handle is None:
            return True
        try:
            fcntl.flock(self._handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True


@contextmanager
def lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock that a file stands for alone.

    Args:
        path: of the file.
        wait: until it is free.

    Yields:
        Whether it is held; always True where waiting was allowed.
    """
    held = Lock(path)
    try:
        yield held.alone(wait=wait)
    finally:
        held.release()
