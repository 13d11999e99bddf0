"""A file by which workers are known to see the directory that this process writes to."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lossatlas.errors import BadInput
from lossatlas.files.reading import tell_reason
from lossatlas.pools.envelope import tell_host

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
    _remove_left(place)
    token = secrets.token_hex(16)
    path = place / f"{PREFIX}{tell_host()}-{os.getpid()}-{token[:8]}"
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


def _remove_left(place: Path) -> None:
    with suppress(OSError):
        for path in place.glob(f"{PREFIX}{tell_host()}-*"):
            number = path.name.rpartition("-")[0].rpartition("-")[2]
            if number.isdecimal() and int(number) != os.getpid() and not _lives(int(number)):
                path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
