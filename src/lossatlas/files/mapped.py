"""Arrays of numbers in files that are mapped into memory, for what may be larger than the memory."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lossatlas.files.writing import CONTINUE, cannot_write

__all__ = ["map_numbers"]


def map_numbers(path: Path, shape: Sequence[int]) -> Tensor:
    """Map a file of float32 numbers into memory; what is written to the tensor is in the file.

    A file of another size is replaced by zeros; one of the same size keeps its numbers. Its room on the disk is
    reserved first: a process that writes to a mapped page without room for it is ended by the system.

    Args:
        path: the file, which is made if need be, in a directory that exists.
        shape: the shape of the tensor, with a positive number of entries.

    Raises:
        CannotFinish: the file cannot be written, or the disk has no room for it.
    """
    size = math.prod(shape)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            if os.fstat(file).st_size != 4 * size:
                os.ftruncate(file, 0)
            _reserve(file, 4 * size)
        finally:
            os.close(file)
        return torch.from_file(str(path), shared=True, size=size, dtype=torch.float32).view(*shape)
    except (OSError, RuntimeError) as error:
        failed = error if isinstance(error, OSError) else OSError(errno.EIO, str(error))
        raise cannot_write(path, failed, CONTINUE) from error


def _reserve(file: int, size: int) -> None:
    """Give a file its size, with room on the disk where the system can reserve it."""
    try:
        os.posix_fallocate(file, 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        os.ftruncate(file, size)
