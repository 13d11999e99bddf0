"""Checks that a folder of unknown origin refers only to files inside of it."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from lossatlas.errors import BadInput

__all__ = ["check_inside", "check_leads_inside", "is_plain_name"]

LONGEST = 255
"""The largest length of a file name in bytes, on most systems."""


def is_plain_name(name: str) -> bool:
    """Return whether a name is a plain file name on any system: not a path, not ``..``, not hidden, not too long.

    >>> [is_plain_name(name) for name in ("000000100.safetensors", "../a", "/a", "..", "a/b", "c:a", "")]
    [True, False, False, False, False, False, False]
    """
    plain = PurePosixPath(name).name == name == PureWindowsPath(name).name
    return bool(name) and plain and not name.startswith(".") and name.isprintable() and len(name.encode()) <= LONGEST


def check_inside(folder: Path) -> None:
    """Refuse a folder with a link that leads out of it, or with anything but files, folders and links.

    Other processes may write to it at the same time; entries that disappear meanwhile are skipped.

    Raises:
        BadInput: the folder is refused or cannot be listed; the message names the first such entry.
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
                    raise BadInput(f"{entry.path} is neither a file nor a folder; remove it from {folder}")
    except (OSError, RuntimeError) as error:  # links in a circle are a RuntimeError
        raise BadInput(f"{folder} cannot be listed ({error}); make it readable") from error


def check_leads_inside(path: Path) -> None:
    """Refuse a file that is a link out of its folder.

    Raises:
        BadInput: it is, or the link leads nowhere that can be told.
    """
    try:
        leads, root = path.resolve(), path.parent.resolve()
    except (OSError, RuntimeError) as error:  # links in a circle are a RuntimeError
        raise BadInput(f"{path} is a link that leads nowhere ({error}); put the file itself there") from error
    if path.is_symlink() and root not in leads.parents:
        raise BadInput(f"{path} is a link that leads out of {path.parent}; put the file itself there")


def _entries(folder: Path, root: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        if folder == root:
            raise
        return []
