"""Arrays of unknown origin in files of ``numpy.save``."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossatlas.errors import format_error
from lossatlas.files.reading import Unreadable, open_file

__all__ = ["ARCHIVE", "read_array"]

MOST = 2**30
"""Bytes of an array."""
ARCHIVE = b"PK\x03\x04"
"""How zip archives begin: those of several arrays, and what torch writes since 1.6."""


def read_array(path: Path | str) -> npt.NDArray[Any]:
    """The numbers or booleans in a ``.npy`` file, of any shape.

    Nothing is allocated before the file is known to hold what its header says.

    Raises:
        Unreadable: it is missing, not a regular file, not of this format, truncated, too large, or holds other things
            than booleans and real numbers.
    """
    with open_file(path) as file:
        try:
            if file.read(len(ARCHIVE)) == ARCHIVE:
                raise Unreadable(path, "it is an archive of arrays and not a single one")
            file.seek(0)
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = header(file)
            if dtype.kind not in "biuf":
                raise Unreadable(path, f"it holds values of type {dtype}, not booleans or real numbers")
            needed, there = math.prod(shape) * dtype.itemsize, os.fstat(file.fileno()).st_size - file.tell()
            if min(shape, default=0) < 0 or needed > there:
                raise Unreadable(path, f"its header says {needed:,} bytes of values and {there:,} are there")
            if needed > MOST:
                raise Unreadable(path, f"its values take {needed:,} bytes, more than {MOST:,}")
            return np.frombuffer(file.read(needed), dtype).reshape(shape, order="F" if fortran else "C")
        except Unreadable:
            raise
        except Exception as error:  # damaged headers raise nearly anything
            raise Unreadable(path, format_error(error)) from error
