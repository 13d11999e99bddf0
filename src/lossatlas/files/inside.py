"""What a folder from somebody else may name: files in it, and none outside."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from lossatlas.errors import BadInput

__all__ = ["check_inside", "is_plain_name"]

LONGEST = 255
"""Bytes of a file's name, on most systems."""


def is_plain_name(name: str) -> bool:
    """Whether a name is that of a file in a folder, on any system: no path, no way up, not hidden, not too long.

    >>> [is_plain_name(name) for name in ("000000100.safetensors", "../a", "/a", "..", "a/b", "c:a", "")]
    [True, False, False, False, False, False, False]
    """
    plain = PurePosixPath(name).name == name == PureWindowsPath(name).name
    return bool(name) and plain and not name.startswith(".") and name.isprintable() and len(name.encode()) <= LONGEST


def check_inside(folder: Path) -> None:
    """Refuse a folder in which a link leads out of it, or which holds anything but files, folders and links.

    Others may write to it meanwhile: what is gone again before it was looked at is passed over.

    Raises:
        BadInput: it does; or it cannot be listed. Names the first.
    """
    root, pending = folder.resolve(), [folder]
    try:
        while pending:
            for entry in _entries(pending.pop(), folder):
                if entry.is_symlink():
                    leads = Path(entry.path).resolve()
                    if leads != root and root not in leads.parents:
                        raise BadInput(f"{entry.path} is a link that leads out of {folder}; put the file itself there")
                elif entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False) and os.path.lexists(entry.path):
                    raise BadInput(f"{entry.path} is neither a file nor a folder; take it out of {folder}")
    except (OSError, RuntimeError) as error:  # links in a circle are a RuntimeError
        raise BadInput(f"{folder} cannot be looked at ({error}); make it readable") from error


def _entries(folder: Path, root: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        if folder == root:
            raise
        return []
