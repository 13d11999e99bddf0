"""Locks between processes, which the system takes back from one that was killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks on this system: writers may then do the same work twice
    fcntl = None  # type: ignore[assignment]

__all__ = ["lock"]


@contextlib.contextmanager
def lock(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold the lock that a file stands for; the file is made if need be and stays.

    Args:
        path: of the file.
        shared: together with others that share it, instead of alone.
        wait: until it is free.

    Yields:
        Whether it is held; always True where waiting was allowed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _taken(handle, shared=shared, wait=wait)
    finally:
        os.close(handle)  # and with it goes the lock


def _taken(handle: int, *, shared: bool, wait: bool) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
