"""A file by which workers are known to see the directory that this process writes to."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lossatlas.errors import BadInput
from lossatlas.files.reading import tell_reason
from lossatlas.pools.envelope import tell_host
from lossatlas.pools.left_behind import name_own, remove_left

__all__ = ["leave_token"]

PREFIX = ".lossatlas-token-"


@contextmanager
def leave_token(folder: Path) -> Iterator[tuple[str, Path]]:
    """While entered, a file lies in a directory, or beside one that is empty or missing; yields its content and path.

    What is to be made in an empty directory may have to find it so. Files that killed processes of this machine left
    are removed.

    Raises:
        BadInput: it cannot be written.
    """
    folder = folder.absolute()
    parent = next(each for each in folder.parents if each.is_dir())
    token = secrets.token_hex(16)
    try:
        path = _write(token, folder if _has_content(folder) else parent)
    except OSError as error:
        try:
            if not folder.is_dir():
                raise
            path = _write(token, folder)
        except OSError:
            place = folder if folder.is_dir() else parent
            raise BadInput(f"{place} cannot be written ({tell_reason(error)}); choose another directory") from error
    try:
        yield token, path
    finally:
        with suppress(OSError):
            path.unlink()


def _has_content(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def _write(token: str, place: Path) -> Path:
    prefix = f"{PREFIX}{tell_host()}-"  # other machines have other processes of the same number
    remove_left(place, prefix)
    path = place / name_own(prefix)
    try:
        path.write_text(token)
    except OSError:  # a full disk leaves an empty file
        path.unlink(missing_ok=True)
        raise
    return path
