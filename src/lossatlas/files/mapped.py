"""Arrays of numbers in files that are mapped into memory, for what may be larger than the memory."""

from __future__ import annotations

import errno
import math
import mmap
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from lossatlas.files.writing import CONTINUE, cannot_write

__all__ = ["map_numbers", "sync_numbers"]


def map_numbers(
    path: Path, shape: Sequence[int], dtype: torch.dtype = torch.float32, *, keep: bool = True
) -> tuple[Tensor, bool]:
    """Map a file of numbers into memory; what is written to the tensor is in the file.

    Its room on the disk is reserved first: a process that writes to a mapped page without room for it is ended by the
    system. A link, or a file that has other names, is never written through; a new file takes its place.

    Args:
        path: the file, in a directory that exists.
        shape: the shape of the tensor, with a positive number of entries.
        dtype: the type of its numbers.
        keep: whether a file of this size keeps its numbers; otherwise, and where it has another size, it is replaced by
            one of zeros.

    Returns:
        The tensor, and whether it has the numbers of a file that was there.

    Raises:
        CannotFinish: the file cannot be written, or the disk has no room for it.
    """
    size = dtype.itemsize * math.prod(shape)
    try:
        kept = keep and _is_own(path, size)
        if not kept:
            with suppress(FileNotFoundError):
                path.unlink()
        file = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | (0 if kept else os.O_CREAT | os.O_EXCL), 0o644)
        try:
            _reserve(file, size)
            buffer = mmap.mmap(file, size)
        finally:
            os.close(file)
    except (OSError, ValueError) as error:
        failed = error if isinstance(error, OSError) else OSError(errno.EIO, str(error))
        raise cannot_write(path, failed, CONTINUE) from error
    return torch.frombuffer(buffer, dtype=dtype).view(*shape), kept


def sync_numbers(path: Path) -> None:
    """Bring what was written to a mapped file to the disk.

    Raises:
        CannotFinish: the system cannot.
    """
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        try:
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise cannot_write(path, error, CONTINUE) from error


def _is_own(path: Path, size: int) -> bool:
    """Return whether a path is a plain file of this size that has no other name."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_size == size


def _reserve(file: int, size: int) -> None:
    """Give a file its size, with room on the disk where the system can reserve it."""
    try:
        os.posix_fallocate(file, 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        os.ftruncate(file, size)
