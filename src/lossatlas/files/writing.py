"""Files that are replaced whole."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lossatlas.errors import BadInput, CannotFinish

__all__ = ["CONTINUE", "PARTIAL", "cannot_write", "check_place", "check_way", "gone", "sync_folder", "write_atomically"]

PARTIAL = ".partial"
"""How the temporary file of a write ends, whose name begins with a dot."""
CONTINUE = "the last checkpoint is whole: make room and continue with --resume"
"""What to do when a run cannot write."""
ELSEWHERE = "make room or choose another place"
"""What to do when a file of its own cannot be written."""


def write_atomically(path: Path, content: bytes, *, advice: str = ELSEWHERE, folders: bool = False) -> None:
    """Replace a file by ``content``: a reader sees the old bytes or the new ones, also after a power cut.

    What a killed writer left of its temporary file is overwritten.

    Args:
        path: the file.
        content: all of it.
        advice: what to do where the system refuses.
        folders: make those that lead to it, if need be.

    Raises:
        CannotFinish: the disk is full or the folder cannot be written; the old file is whole.
    """
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    try:
        if folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()  # whatever it is: a link would be written through
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:  # an interrupt leaves no more behind than a full disk
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        raise cannot_write(path, error, advice) from error


def check_way(path: Path, option: str) -> None:
    """Refuse a path that goes up from a folder that is not there: to make that one would leave it behind.

    Args:
        path: of a file or a folder that may have to be made.
        option: by which it was given.

    Raises:
        BadInput: it does.
    """
    for number in (k for k, part in enumerate(path.parts) if part == ".."):
        below = Path(*path.parts[:number])
        if not os.path.isdir(below):  # noqa: PTH112 (Path.is_dir raises where a name is too long)
            raise BadInput(f"{option} {path}: {below} is not a folder that is there; leave it and the '..' out")


def check_place(path: Path, option: str, *, folder: bool) -> None:
    """Refuse a place where something is to be written and cannot; changes nothing.

    Args:
        path: of a file, or of a folder that may have to be made.
        option: by which it was given.
        folder: whether it is that of a folder.

    Raises:
        BadInput: something of the other kind is there, or the folder that is to hold it cannot be written.
    """
    check_way(path, option)
    try:
        nearest = path if folder else path.absolute().parent
        while not nearest.exists():
            nearest = nearest.absolute().parent
        if not folder and path.is_dir():
            raise BadInput(f"{option} {path} is a directory; give a file")
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            raise BadInput(f"{option} {path}: {nearest} is not a directory that can be written; choose another place")
    except OSError as error:
        raise BadInput(f"{option} {path} cannot be used ({error.strerror}); choose another place") from error


def cannot_write(path: Path, error: OSError, advice: str = CONTINUE) -> CannotFinish:
    """The error for a write that the system refused; a run's own, unless the advice is another."""
    return CannotFinish(f"cannot write {path} ({error.strerror or error}); {advice}")


def gone(path: Path | str) -> CannotFinish:
    """The error for what somebody has removed, moved or replaced while it was written."""
    return CannotFinish(
        f"{path} was removed or moved away while it was written; if it lies elsewhere, continue it there with --resume"
    )


def sync_folder(path: Path) -> None:
    """Bring a rename to the disk, where folders can be opened for that."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
