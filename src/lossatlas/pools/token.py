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
    """While entered, a file lies in a directory, or in its nearest parent that exists; yields its content and path.

    Files that killed processes of this machine left there are removed.

    Raises:
        BadInput: it cannot be written.
    """
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    prefix = f"{PREFIX}{tell_host()}-"  # other machines have other processes of the same number
    remove_left(place, prefix)
    token = secrets.token_hex(16)
    path = place / name_own(prefix)
    try:
        with path.open("x") as file:
            file.write(token)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise BadInput(f"{place} cannot be written ({tell_reason(error)}); choose another directory") from error
    try:
        yield token, path
    finally:
        with suppress(OSError):
            path.unlink()
