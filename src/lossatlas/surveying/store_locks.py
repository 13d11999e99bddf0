"""The locks, or leases, by which several processes write one store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from lossatlas.files.writing import cannot_write
from lossatlas.locks import AnyLock, Kind, clear_losses, make_lock, recheck_claims, settle_claims
from lossatlas.surveying.arrays import GridArrays, Tile
from lossatlas.surveying.tile_source import MOST_LOSSES, Held

__all__ = ["STARTER", "WRITERS", "StoreLocks", "name_tile"]

WRITERS = "writers"
"""The lock that all share who write to a store."""
STARTER = "starter"
"""The lease of the process that alone makes arrays, for as long as it has the store open."""
GIVEN_UP = ".given-up"
"""What is added to the name of a tile for the file that says that nobody is to try it again."""


@dataclass
class StoreLocks:
    """Locks or leases by name, in a folder beside a store: zarr does not like what is not its own.

    Attributes:
        path: Of the store.
        kind: Which of both.
        arrays: In the store, once it is open: from then on none is made beside a store that was removed.
    """

    path: Path
    kind: Kind = "locks"
    arrays: GridArrays | None = None

    @property
    def folder(self) -> Path:
        """Where their files are."""
        return self.path.with_name(f".{self.path.name}.locks")

    @property
    def are_leases(self) -> bool:
        """Whether they are leases, which a process that was stopped may go on with when another one has them."""
        return self.kind == "leases"

    def settle(self, claims: str) -> None:
        """Settle which kind is used, by what is asked for, and by what others use who write to the store.

        Raises:
            BadInput: others use the other kind, or there is none such.
            CannotFinish: the disk refuses.
        """
        with self.writing(WRITERS):
            self.kind = settle_claims(self.folder / WRITERS, claims, self.path)

    def recheck(self) -> None:
        """Refuse to go on beside others who have settled for the other kind at the same moment.

        Raises:
            BadInput: there are some.
        """
        recheck_claims(self.folder / WRITERS, self.kind, self.path)

    def make(self, what: str) -> AnyLock:
        """A lock that is not held yet.

        Raises:
            CannotFinish: the disk refuses, or the store was removed.
        """
        with self.writing(what):
            return make_lock(self.folder / what, self.kind, exclusive=what != WRITERS)

    def take(self, what: str) -> AnyLock | None:
        """Take what one process has for itself, without waiting for others; None where another one has it.

        Raises:
            CannotFinish: as :meth:`make`.
        """
        lock = self.make(what)
        try:
            with self.writing(what):
                if lock.alone(wait=False):
                    return lock
        except BaseException:
            lock.release()
            raise
        lock.release()
        return None

    def hold(self, what: str) -> Held | None:
        """Take a tile, as :meth:`take` does, and count who was lost with it: too many where others have given it up."""
        lock = self.take(what)
        if lock is None:
            return None
        note = self.folder / f"{what}{GIVEN_UP}"
        losses = MOST_LOSSES if note.exists() else lock.count_losses()

        def warn_others() -> None:
            with self.writing(what):
                note.touch()

        return Held(lock.release, losses, warn_others)

    @contextmanager
    def held(self, what: str) -> Iterator[None]:
        """To be held around what one process does while all others wait for it.

        Raises:
            CannotFinish: as :meth:`make`.
        """
        lock = self.make(what)
        try:
            with self.writing(what):
                lock.alone()
            yield
        finally:
            lock.release()

    def sweep(self, writers: AnyLock) -> None:
        """Remove what killed processes left, and forget who was lost with a tile, and which were given up.

        Args:
            writers: the lock of that name, which is held alone.
        """
        with suppress(OSError):
            for note in self.folder.glob(f"*{GIVEN_UP}"):
                note.unlink(missing_ok=True)
        if self.are_leases:
            writers.sweep()
        else:
            clear_losses(self.folder)

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """To be held around what writes the files of a lock."""
        try:
            with self.arrays.writing() if self.arrays is not None else nullcontext():
                yield
        except OSError as error:
            raise cannot_write(self.folder / what, error) from error


def name_tile(marks: str, tile: Tile) -> str:
    """The name of the lock of a tile, on which a group of metrics is evaluated."""
    return f"{marks.replace('/', '-')}-{'-'.join(str(part.start) for part in tile)}"
