"""What was damaged in a store, or left by writers that were killed, becomes what is merely lacking."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from lossatlas.errors import BadInput
from lossatlas.files.chunks import Chunk, DamagedChunk, find_damaged_chunks, is_damage, list_chunks
from lossatlas.files.reading import read_json, tell_reason
from lossatlas.files.room import free_room
from lossatlas.files.stores import (
    CHUNKS,
    METADATA,
    VOUCHES,
    ArrayHead,
    check_arrays_fit,
    find_dangerous_chunks,
    list_folders,
)
from lossatlas.files.writing import PARTIAL
from lossatlas.surveying.arrays import WHOLE, GridArrays, list_dimensions, list_vouched
from lossatlas.surveying.tile_source import TileSource

__all__ = ["Mending", "sweep"]

NAMED = 3
"""How many chunks a line names."""


def sweep(path: Path) -> None:
    """Remove temporary files of writers that were killed; to be called by one who knows that no other one writes."""
    for left in path.rglob(f"*{PARTIAL}"):
        if left.is_file():
            left.unlink(missing_ok=True)


@dataclass(frozen=True)
class Mending:
    """Takes away what cannot be read of a store, so that it is computed again; while the store's structure is held.

    Of what is written tile by tile, tiles are taken away with the marks that vouch for them; all else goes whole. What
    a survey has not written is left alone.

    Attributes:
        path: Of the store.
        arrays: In it; their coordinates have been read.
        alone: Whether no other process writes to the store.
        tiles: Says of each tile whether a process works on it.
    """

    path: Path
    arrays: GridArrays
    alone: bool
    tiles: TileSource

    def mend(self) -> Iterator[str]:
        """Mend the store; a line comes for each array that was damaged.

        Raises:
            BadInput: an array has to go whole, and others write to the store or it is not one that surveys write.
            OSError: the disk refuses.
        """
        tiled: dict[str, zarr.Array[Any]] = {}
        for folder in list_folders(self.path):
            name = folder.relative_to(self.path).as_posix()
            if name in self.arrays.axes:
                continue
            if not (folder / METADATA).is_file():
                if (folder / CHUNKS).exists() and self.arrays.wrote(name):
                    yield self._gone(name, "its description is lost")
                elif self.alone and _is_empty(folder):  # its making was cut off
                    shutil.rmtree(folder)
                continue
            try:
                head = read_json(folder / METADATA, ArrayHead)
                if head.chunk_bytes > (room := free_room()):
                    raise ValueError(f"a chunk of it has {head.chunk_bytes:,} bytes, and {room:,} are there for it")
                for chunk, reason in list(find_dangerous_chunks(folder, head)):
                    if not (self.alone and self.arrays.wrote(name)):
                        raise ValueError(f"{chunk.relative_to(folder).as_posix()}: {reason}")
                    _remove(chunk)  # which is lost, then
                array = self.arrays[name]
                on_grid = self.arrays.is_tiled(array)
                if not on_grid:
                    check_arrays_fit(folder / METADATA, [head])
                if WHOLE in array.attrs:
                    self._check_whole(array)
                elif on_grid:
                    tiled[name] = array
            except Exception as error:  # zarr has many ways to find an array damaged
                if not is_damage(error):
                    raise
                reason = f"its description lacks {error}" if isinstance(error, KeyError) else tell_reason(error)
                yield self._gone(name, reason)
        marks = {name: array for name, array in tiled.items() if VOUCHES in array.attrs}
        vouched = {name for array in marks.values() for name in list_vouched(array)}
        for name in tiled.keys() - marks.keys() - vouched:  # who would notice that a tile of it is gone?
            if (damage := next(find_damaged_chunks(tiled[name], self._rows(name)), None)) is not None:
                yield self._gone(name, damage.reason)
        for mark in marks:
            there = [name for name in list_vouched(marks[mark]) if name in tiled]
            yield from self._mended_tiles(mark, {name: tiled[name] for name in there})

    def _check_whole(self, array: zarr.Array[Any]) -> None:
        """Refuse an array of which a chunk is missing or damaged.

        Raises:
            ValueError: one is.
        """
        for row in list_chunks(array):
            for chunk in row:
                if not (self.path / array.basename / chunk.key).is_file():
                    raise ValueError(f"{chunk.key} is missing")
        for damage in find_damaged_chunks(array):
            raise ValueError(damage.reason)

    def _mended_tiles(self, mark: str, tiled: dict[str, zarr.Array[Any]]) -> Iterator[str]:
        """Take away tiles that are damaged, marks of tiles that are missing, and marks that are damaged themselves."""
        marks = self.arrays[mark]
        for name, array in {mark: marks, **tiled}.items():
            damages = chain(self._folders(name, array), find_damaged_chunks(array, self._rows(name)))
            found = [damage for damage in damages if self._taken(mark, damage, name, damage.key)]
            if found:
                yield self._told(name, f"is damaged at {_where(array, found)} ({found[0].reason})", " there")
        marked = [chunk for row in list_chunks(marks, self._rows(mark)) for chunk in self._marked(marks, row)]
        for name, array in tiled.items():
            further = (0,) * (array.ndim - marks.ndim)
            keys = [array.metadata.encode_chunk_key((*chunk.place, *further)) for chunk in marked]
            lost = [
                chunk
                for chunk, key in zip(marked, keys, strict=True)
                if not (self.path / name / key).is_file() and self._taken(mark, chunk, name, key)
            ]
            if lost:
                yield self._told(name, f"is lost at {_where(array, lost)}", " there")

    @staticmethod
    def _marked(marks: zarr.Array[Any], row: list[Chunk]) -> list[Chunk]:
        """The chunks of a row in which a point is marked; one that is damaged, and held by another, marks nothing."""
        damaged = {chunk.place for chunk in find_damaged_chunks(marks, [row[0].place[0]])}
        if damaged:
            return [chunk for chunk in row if chunk.place not in damaged and np.any(marks[chunk.region])]
        values = np.asarray(marks[row[0].region[:1]])
        return [chunk for chunk in row if values[(slice(None), *chunk.region[1:])].any()]

    def _folders(self, name: str, array: zarr.Array[Any]) -> Iterator[DamagedChunk]:
        """Folders with the names of chunks, which are read as if there were none."""
        for row in list_chunks(array, self._rows(name)):
            for chunk in row:
                if (self.path / name / chunk.key).is_dir():
                    yield DamagedChunk(chunk.place, chunk.key, chunk.region, "a folder is in its place")

    def _taken(self, mark: str, chunk: Chunk, name: str, key: str) -> bool:
        """Take a tile of an array away, and its marks first; unless another process has that tile."""
        marks = self.arrays[mark]
        held = self.tiles.hold(mark, chunk.region[: marks.ndim])
        if held is None:
            return False
        try:
            _remove(self.path / mark / marks.metadata.encode_chunk_key(chunk.place[: marks.ndim]))
            _remove(self.path / name / key)
        finally:
            held.release()
        return True

    def _gone(self, name: str, reason: str) -> str:
        """Take a whole array away.

        Raises:
            BadInput: others write to the store, or it is not an array that surveys write.
        """
        folder = self.path / name
        if not self.arrays.wrote(name) or not {each.name for each in folder.iterdir()} <= {METADATA, CHUNKS}:
            raise BadInput(
                f"{name} in {self.path} is not what surveys write there ({reason}); move it out of the survey, which "
                "is then continued"
            )
        if not self.alone:
            raise BadInput(
                f"{name} in {self.path} is damaged ({reason}), and another process writes there; continue when it has "
                "finished"
            )
        self.arrays.describe(without=name)
        shutil.rmtree(folder)
        return self._told(name, f"is damaged ({reason})")

    def _told(self, name: str, what: str, where: str = "") -> str:
        return f"{name} in {self.path} {what}; it is computed again{where}"

    def _rows(self, name: str) -> list[int]:
        """The rows of chunks that are on the disk, of an array of which that may be few."""
        folder = self.path / name / CHUNKS
        return [int(each.name) for each in folder.iterdir() if each.name.isdecimal()] if folder.is_dir() else []


def _where(array: zarr.Array[Any], chunks: Sequence[Chunk]) -> str:
    """Chunks in words."""
    places = [chunk.where(list_dimensions(array)) for chunk in chunks[:NAMED]]
    return "; ".join(places) + (f" and {len(chunks) - NAMED} more chunks" if len(chunks) > NAMED else "")


def _is_empty(folder: Path) -> bool:
    """Whether there is nothing in a folder but folders in which there is nothing."""
    return all(each.is_dir() and not each.is_symlink() for each in folder.rglob("*"))


def _remove(path: Path) -> None:
    """Remove what has a chunk's name, a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
