"""Reading of HDF5 files of unknown origin, in a separate process, since the library crashes on some damaged files."""

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
"""The prefix of a line in which the child process states its error."""
MOST_BYTES = 2**32
"""The largest size of all arrays of a file in bytes; a share of the free memory bounds it, too, since they are
copied."""
COPIES = 4
PATIENCE = 30
"""The seconds after which the reading of a file is given up."""


@dataclass(frozen=True)
class Dataset:
    """One dataset of a file's root."""

    shape: tuple[int, ...]
    dtype: str
    values: npt.NDArray[Any] | None
    """The booleans or real numbers; None for values of other types."""
    text: str | None
    """The text, if the dataset is a short text; else None."""
    attributes: dict[str, str]
    """The attributes that are one short value, as text."""


@dataclass(frozen=True)
class _Told:
    """The description of a dataset by the child process."""

    name: str
    shape: list[int]
    dtype: str
    array: str | None
    text: str | None
    attributes: dict[str, str]


def read_datasets(path: Path) -> dict[str, Dataset]:
    """Read the datasets in the root of a file, by name; links are left out.

    Raises:
        Unreadable: the file is missing, not a regular file or damaged, refers to other files, or does not fit the
            memory.
    """
    with open_file(path):  # refuses pipes, which would block
        pass
    room = min(MOST_BYTES, free_room() // COPIES)
    try:
        # The child imports from the path of this process, not from the script's folder with its short names.
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
