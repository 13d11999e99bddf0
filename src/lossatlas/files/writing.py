"""Atomic writing of files."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lossatlas.errors import BadInput, CannotFinish

__all__ = ["CONTINUE", "PARTIAL", "cannot_write", "check_place", "check_way", "gone", "sync_folder", "write_atomically"]

PARTIAL = ".partial"
"""The suffix of the temporary file of a write, whose name begins with a dot."""
CONTINUE = "the last checkpoint is intact: free space and continue with --resume"
"""The advice when a run cannot write."""
ELSEWHERE = "free space, or choose another path"
"""The advice when a single file cannot be written."""


def write_atomically(path: Path, content: bytes, *, advice: str = ELSEWHERE, folders: bool = False) -> None:
    """Replace a file atomically: a reader sees the old content or the new one, also after a power failure.

    A temporary file that a killed process left is overwritten.

    Args:
        path: the file.
        content: the whole content.
        advice: the advice in the message if the system refuses.
        folders: whether to create missing parent folders.

    Raises:
        CannotFinish: the disk is full or the folder cannot be written; the old file is intact.
    """
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    try:
        if folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()  # in case it is a link, whose target would be written
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:  # the temporary file is removed after an interrupt, too
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        raise cannot_write(path, error, advice) from error


def check_way(path: Path, option: str) -> None:
    """Refuse a path with ``..`` after a folder that does not exist, which would have to be created in passing.

    Args:
        path: the path of a file or folder that may have to be created.
        option: the option by which it was given.

    Raises:
        BadInput: the path is refused.
    """
    for number in (k for k, part in enumerate(path.parts) if part == ".."):
        below = Path(*path.parts[:number])
        if not os.path.isdir(below):  # noqa: PTH112 (Path.is_dir raises where a name is too long)
            raise BadInput(f"{option} {path}: {below} is not an existing folder; leave it and the '..' out")


def check_place(path: Path, option: str, *, folder: bool) -> None:
    """Refuse a path that cannot be written, without changing anything.

    Args:
        path: the path of a file, or of a folder that may have to be created.
        option: the option by which it was given.
        folder: whether it is the path of a folder.

    Raises:
        BadInput: a file or folder of the other kind exists there, or the parent folder cannot be written.
    """
    check_way(path, option)
    try:
        nearest = path if folder else path.absolute().parent
        while not nearest.exists():
            nearest = nearest.absolute().parent
        if not folder and path.is_dir():
            raise BadInput(f"{option} {path} is a directory; expected the path of a file")
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            raise BadInput(f"{option} {path}: {nearest} is not a writable directory; choose another path")
    except OSError as error:
        raise BadInput(f"{option} {path} cannot be used ({error.strerror}); choose another path") from error


def cannot_write(path: Path, error: OSError, advice: str = CONTINUE) -> CannotFinish:
    """Return the error for a write that the system refused, by default with the advice for runs."""
    if advice == CONTINUE and isinstance(error, FileNotFoundError) and not path.parent.exists():
        return gone(path.parent)  # it was there when somebody looked a moment ago
    return CannotFinish(f"cannot write {path} ({error.strerror or error}); {advice}")


def gone(path: Path | str) -> CannotFinish:
    """Return the error for a path that was removed, moved or replaced while it was written."""
    return CannotFinish(
        f"{path} was removed or moved while it was written; if it was moved, continue it there with --resume"
    )


def sync_folder(path: Path) -> None:
    """Write a rename to the disk, if the system can open folders for that."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
