"""Names of temporary files and folders that say which process of this machine made them.

Those of killed processes can then be removed.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from lossatlas.locks import is_running

__all__ = ["name_own", "remove_left"]


def name_own(prefix: str) -> str:
    """Make a name that no other file has, and that says that this process made it."""
    return f"{prefix}{os.getpid()}-{secrets.token_hex(2)}"


def remove_left(place: Path, prefix: str) -> None:
    """Remove what processes that live no more have left in a folder under such names."""
    with suppress(OSError):
        for path in place.glob(f"{prefix}*-*"):
            number = path.name.removeprefix(prefix).partition("-")[0]
            if number.isdecimal() and not is_running(int(number)):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
