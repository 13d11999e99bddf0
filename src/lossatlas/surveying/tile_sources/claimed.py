"""Tiles for several processes, each claimed by a lock of the system or by a lease."""

from __future__ import annotations

from lossatlas.surveying.arrays import Tile
from lossatlas.surveying.store_locks import StoreLocks, name_tile
from lossatlas.surveying.tile_source import Held, TileSource

__all__ = ["Claimed"]


class Claimed(TileSource):
    """For a survey on a disk that several processes write, on one machine or on many.

    A tile is held by a lock on a file, which the system takes back from a process that was killed; or by a lease
    (:mod:`lossatlas.locks.leases`), which others take when its holder shows no sign of life. One that was only stopped
    may then evaluate the tile beside them: under one plan both write the same values.

    Args:
        locks: of the survey's store, which say which of both it is.
    """

    def __init__(self, locks: StoreLocks) -> None:
        self._locks = locks

    def hold(self, marks: str, tile: Tile) -> Held | None:
        """Have a tile for this process, unless another claim, of whatever process that lives, has it."""
        return self._locks.hold(name_tile(marks, tile))
