"""Tiles for several processes, by locks of the system."""

from __future__ import annotations

from lossatlas.surveying.arrays import Tile
from lossatlas.surveying.store_locks import StoreLocks, name_tile
from lossatlas.surveying.tile_source import Held, TileSource

__all__ = ["FileLocks"]


class FileLocks(TileSource):
    """For a survey on a disk that several processes write, on one machine or on more where its locks reach them.

    A tile is held by a lock on a file, which the system takes back from a process that was killed.

    Args:
        locks: of the survey's store.
    """

    def __init__(self, locks: StoreLocks) -> None:
        self._locks = locks

    def hold(self, marks: str, tile: Tile) -> Held | None:
        """Have a tile for this process, unless another claim, of whatever process, has it."""
        return self._locks.hold(name_tile(marks, tile))
