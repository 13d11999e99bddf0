"""HDF5 files of unknown origin, read in a process of its own: the library crashes on some that are damaged."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossatlas.errors import format_error
from lossatlas.files.reading import Unreadable, open_file, parse_json
from lossatlas.files.room import free_room

__all__ = ["Dataset", "read_datasets"]

CHILD = Path(__file__).with_name("_hdf5_child.py")
SAID = "lossatlas: "
"""How a line begins in which the child says what is wrong."""
MOST_BYTES = 2**32
"""Of all arrays of a file together; and never more than a share of what is free, for they are copied on their way."""
COPIES = 4
PATIENCE = 30
"""Seconds after which a file counts as one that never ends."""


@dataclass(frozen=True)
class Dataset:
    """One dataset of a file's root."""

    shape: tuple[int, ...]
    dtype: str
    values: npt.NDArray[Any] | None
    """Booleans or real numbers; None where there are others."""
    text: str | None
    """None where it is not a short one."""
    attributes: dict[str, str]
    """Those that are one short value, in words."""


@dataclass(frozen=True)
class _Told:
    """What the child says of a dataset."""

    name: str
    shape: list[int]
    dtype: str
    array: str | None
    text: str | None
    attributes: dict[str, str]


def read_datasets(path: Path) -> dict[str, Dataset]:
    """The datasets in the root of a file by name; what links lead to is left out.

    Raises:
        Unreadable: the file is missing, not a regular file or damaged; or some of it lies in other files, or does not
            fit the memory.
    """
    with open_file(path):  # which refuses pipes, that would be waited for
        pass
    room = min(MOST_BYTES, free_room() // COPIES)
    try:
        # Not the folder of the script, in which modules have short names, but what this process can import.
        done = subprocess.run(
            [sys.executable, "-P", str(CHILD), str(path.absolute()), str(room)],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Unreadable(path, f"reading it takes more than {PATIENCE} seconds") from error
    except (OSError, ValueError) as error:
        raise Unreadable(path, f"no process could be started for it: {format_error(error)}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Unreadable(path, said.removeprefix(SAID) if said.startswith(SAID) else "the HDF5 library crashes on it")
    archive = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    told = parse_json(archive["index"].tobytes(), list[_Told])
    return {
        each.name: Dataset(
            tuple(each.shape),
            each.dtype,
            archive[each.array] if each.array is not None else None,
            each.text,
            each.attributes,
        )
        for each in told
    }
