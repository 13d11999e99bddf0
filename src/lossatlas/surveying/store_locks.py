"""The locks by which several processes write one store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from lossatlas.files.writing import cannot_write
from lossatlas.locks import Lock
from lossatlas.surveying.arrays import GridArrays

__all__ = ["StoreLocks"]


@dataclass
class StoreLocks:
    """Locks by name, in a folder beside a store: zarr does not like what is not its own.

    Attributes:
        path: Of the store.
        arrays: In it, once it is open: from then on none is made beside a store that was removed.
    """

    path: Path
    arrays: GridArrays | None = None

    @property
    def folder(self) -> Path:
        """Where their files are."""
        return self.path.with_name(f".{self.path.name}.locks")

    def make(self, what: str) -> Lock:
        """A lock that is not held yet.

        Raises:
            CannotFinish: the disk refuses, or the store was removed.
        """
        file = self.folder / what
        try:
            with self.arrays.writing() if self.arrays is not None else nullcontext():
                return Lock(file)
        except OSError as error:
            raise cannot_write(file, error) from error

    @contextmanager
    def held(self, what: str) -> Iterator[None]:
        """To be held around what one process does while all others wait for it.

        Raises:
            CannotFinish: as :meth:`make`.
        """
        lock = self.make(what)
        try:
            lock.alone()
            yield
        finally:
            lock.release()
