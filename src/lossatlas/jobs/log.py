"""The log of a fit or a training."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lossatlas.errors import BadInput
from lossatlas.files.writing import cannot_write
from lossatlas.rundir import make_plain

__all__ = ["MetricsLog"]


class MetricsLog:
    """The file ``metrics.jsonl``, with one line for each step.

    Args:
        path: the file.
        length: the bytes of the file that are kept; those that a killed process wrote after its last checkpoint are
            cut off.

    Raises:
        BadInput: the file is shorter.
        CannotFinish: the file cannot be opened.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self._path = path
        try:
            if length and (not path.is_file() or path.stat().st_size < length):
                raise BadInput(f"{path} is shorter than at its checkpoint; start again with --overwrite")
            self._file = path.open("ab")
            self._file.truncate(length)
            self._file.seek(0, os.SEEK_END)  # truncating does not move the position
        except OSError as error:
            raise cannot_write(path, error) from error

    def append(self, record: Mapping[str, Any]) -> None:
        """Append a line."""
        try:
            self._file.write(json.dumps(make_plain(record), allow_nan=False).encode() + b"\n")
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def sync(self) -> int:
        """Write all lines to the disk; returns the length of the file in bytes."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self._path, error) from error
        return self._file.tell()

    @contextlib.contextmanager
    def open(self) -> Iterator[MetricsLog]:
        """Use the log within a context, and close the file at its end."""
        try:
            yield self
        finally:
            with contextlib.suppress(OSError):
                self._file.close()
