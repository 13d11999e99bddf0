"""Locks between processes, which the system releases when a process is killed."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lossatlas.errors import BadInput

try:
    import fcntl
except ImportError:  # no such locks on this system: writers may then do the same work twice
    fcntl = None  # type: ignore[assignment]

__all__ = ["Lock", "clear_losses", "has_locks", "is_running", "lock_folder"]

SIGNATURE = 400
"""The most bytes of a signature that are read."""
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
"""What a file system says that has no locks."""


class Lock:
    """A lock on a file, which is created where it is missing and is not removed.

    Args:
        path: the file; symbolic links are not followed.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._shared = False
        self._counting = False
        self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)

    def share(self, *, wait: bool = True) -> bool:
        """Acquire the lock as a shared one.

        Args:
            wait: whether to wait for a process that holds it alone.

        Returns:
            Whether it is held.

        Raises:
            BadInput: the file system has no locks.
        """
        return self._take(shared=True, wait=wait)

    def alone(self, *, wait: bool = True) -> bool:
        """Acquire the lock exclusively; where that fails, a shared lock remains shared.

        Args:
            wait: whether to wait for other processes that hold it.

        Returns:
            Whether it is held.

        Raises:
            BadInput: the file system has no locks.
        """
        return self._take(shared=False, wait=wait)

    def outlast(self) -> bool:
        """Wait until it is clear whether who holds the lock still lives; False at once, since it was held just now."""
        return False

    def release(self) -> None:
        """Release the lock and close the file; the object cannot be used afterwards."""
        if self._handle is not None:
            if self._counting:
                with suppress(OSError):
                    os.ftruncate(self._handle, 0)
            os.close(self._handle)  # and with it goes the lock
            self._handle = None

    def count_losses(self) -> int:
        """Count how many processes in a row ended while they held the lock alone, as this one does, and counted.

        The file says so until the lock is released, which clears it; so does :func:`clear_losses`.
        """
        if self._handle is None:
            return 0
        before = os.pread(self._handle, SIGNATURE, 0)
        losses = int(before) + 1 if before.strip().isdigit() else 0
        with suppress(OSError):  # a full disk; who is lost then is not counted
            os.pwrite(self._handle, b"%d\n" % losses, 0)
            self._counting = True
        return losses

    def moved(self, path: Path) -> None:
        """Record the new path of the file, after its folder was moved."""
        self._path = path

    @property
    def in_place(self) -> bool:
        """Whether the path still is the file that is locked, neither removed nor replaced."""
        try:
            there, here = self._path.stat(), os.fstat(self._handle if self._handle is not None else -1)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def sweep(self) -> None:
        """Do nothing: the system leaves nothing of what a killed process held."""

    def sign(self) -> None:
        """Write into the file which process holds the lock and since when, for :meth:`holder`."""
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        with suppress(OSError):  # a full disk; the signature is only for messages
            if self._handle is not None:
                os.ftruncate(self._handle, 0)
                os.pwrite(self._handle, f"{os.getpid()} {socket.gethostname()} {now}\n".encode(), 0)

    def holder(self) -> str:
        """The process that signed last and since when, in words; "another process" where that one has ended."""
        with suppress(OSError, ValueError):
            text = os.pread(self._handle if self._handle is not None else -1, SIGNATURE, 0).decode()
            number, host, since = text.strip().split(" ", 2)
            if host != socket.gethostname() or is_running(int(number)):
                return f"process {int(number)} on {host} since {since}"
        return "another process"

    def _take(self, *, shared: bool, wait: bool) -> bool:
        if fcntl is None or self._handle is None:
            return True
        try:
            fcntl.flock(self._handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            if self._shared:  # the system gives a lock up before it asks for another kind
                fcntl.flock(self._handle, fcntl.LOCK_SH)
            return False
        except OSError as error:
            raise BadInput(
                f"{self._path.parent} is on a file system without locks ({error.strerror}); use leases there, "
                "--claims leases"
            ) from error
        self._shared = shared
        return True


@contextmanager
def lock_folder(path: Path) -> Iterator[None]:
    """Lock a folder itself while entered, which leaves no file; without effect where the system has no such locks."""
    handle = None
    try:
        if fcntl is not None:
            with suppress(OSError):  # some network file systems lock no folders
                handle = os.open(path, os.O_RDONLY)
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def has_locks(folder: Path) -> bool:
    """Whether the file system of a folder has locks, for all that an attempt says."""
    if fcntl is None:
        return True
    try:
        return _try_lock(folder, os.O_RDONLY)
    except OSError:  # some network file systems lock files and no folders
        place = folder / f".lossatlas-{secrets.token_hex(8)}"
    try:
        return _try_lock(place, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except OSError as error:  # where nothing can be written, who writes will say so
        return error.errno not in NO_LOCKS
    finally:
        with suppress(OSError):
            place.unlink()


def _try_lock(path: Path, flags: int) -> bool:
    """Lock a file or a folder for a moment, unless it is locked already.

    Raises:
        OSError: the system refuses.
    """
    handle = os.open(path, flags, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    finally:
        os.close(handle)
    return True


def clear_losses(folder: Path) -> None:
    """Have the files of locks in a folder say of no process that it ended; for one who knows that nobody holds them."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_size:
                os.truncate(entry.path, 0)


def is_running(number: int) -> bool:
    """Whether this machine has a process of this number, whoever's it is; also where that cannot be known."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is another user's, or no number of a process
        return True
    return True
