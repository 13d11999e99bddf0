"""Reading of arrays of unknown origin from files of ``numpy.save``."""

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
"""The largest size of an array in bytes."""
ARCHIVE = b"PK\x03\x04"
"""The first bytes of zip archives, such as those of several arrays and the files of torch since 1.6."""


def read_array(path: Path | str) -> npt.NDArray[Any]:
    """Read the numbers or booleans in a ``.npy`` file, of any shape.

    Nothing is allocated before the file is known to hold what its header says.

    Raises:
        Unreadable: the file is missing, not a regular file, not of this format, truncated or too large, or holds other
            values than booleans and real numbers.
    """
    with open_file(path) as file:
        try:
            if file.read(len(ARCHIVE)) == ARCHIVE:
                raise Unreadable(path, "it is an archive of arrays and not a single array")
            file.seek(0)
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = header(file)
            if dtype.kind not in "biuf":
                raise Unreadable(path, f"it holds values of type {dtype}, not booleans or real numbers")
            needed, there = math.prod(shape) * dtype.itemsize, os.fstat(file.fileno()).st_size - file.tell()
            if min(shape, default=0) < 0 or needed > there:
                raise Unreadable(path, f"its header states {needed:,} bytes of values and the file holds {there:,}")
            if needed > MOST:
                raise Unreadable(path, f"its values take {needed:,} bytes, more than {MOST:,}")
            return np.frombuffer(file.read(needed), dtype).reshape(shape, order="F" if fortran else "C")
        except Unreadable:
            raise
        except Exception as error:  # damaged headers raise nearly anything
            raise Unreadable(path, format_error(error)) from error
