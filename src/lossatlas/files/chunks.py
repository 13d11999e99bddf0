"""Chunks of zarr arrays: which of them there are, and which cannot be decoded."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import zarr

from lossatlas.errors import format_error
from lossatlas.files.reading import Unreadable

__all__ = ["Chunk", "DamagedChunk", "find_damaged_chunks", "is_damage", "list_chunks"]


@dataclass(frozen=True)
class Chunk:
    """A part of an array that lies in a file of its own: a chunk, or a shard where there are any."""

    place: tuple[int, ...]
    """How many chunks come before it along each dimension."""
    key: str
    """Of the file, in the folder of the array."""
    region: tuple[slice, ...]
    """Of the array."""

    def where(self, dimensions: Sequence[Any]) -> str:
        """The region in words: ``u 0 to 15, v 16 to 31``."""
        sides = zip(dimensions, self.region, strict=False)
        return ", ".join(f"{dimension} {part.start} to {part.stop - 1}" for dimension, part in sides)


@dataclass(frozen=True)
class DamagedChunk(Chunk):
    """A chunk that cannot be decoded."""

    reason: str


def list_chunks(array: zarr.Array[Any], rows: Iterable[int] | None = None) -> Iterator[list[Chunk]]:
    """All chunks that an array can have, row by row: those that share their place along the first dimension.

    Args:
        array: of any number of dimensions; one without any has a single chunk.
        rows: the places along the first dimension that are wanted; default all.
    """
    sides = array.shards or array.chunks
    first, *others = [range(-(-length // side)) for length, side in zip(array.shape, sides, strict=True)] or [range(1)]
    for row in first if rows is None else sorted(set(rows) & set(first)):
        chunks = []
        for place in product((row,), *others) if array.shape else [()]:
            corners = zip(place, sides, array.shape, strict=True)
            region = tuple(slice(k * side, min((k + 1) * side, length)) for k, side, length in corners)
            chunks.append(Chunk(place, array.metadata.encode_chunk_key(place), region))
        yield chunks


def find_damaged_chunks(array: zarr.Array[Any], rows: Iterable[int] | None = None) -> Iterator[DamagedChunk]:
    """Chunks that are there and cannot be decoded; arguments as :func:`list_chunks`.

    A row of chunks is read at once, and chunk by chunk only if something is wrong with it.

    Raises:
        MemoryError, OSError: one cannot be read whatever it holds.
    """
    for chunks in list_chunks(array, rows):
        if _problem(array, chunks[0].region[:1] or ...) is None:
            continue
        for chunk in chunks:
            if (reason := _problem(array, chunk.region)) is not None:
                yield DamagedChunk(chunk.place, chunk.key, chunk.region, reason)


def is_damage(error: BaseException) -> bool:
    """Whether something cannot be read for what lies there, and not for what the system lacks or forbids."""
    refused = error.__cause__ if isinstance(error, Unreadable) else error
    return not isinstance(refused, MemoryError | OSError) or getattr(refused, "errno", None) == errno.EIO


def _problem(array: zarr.Array[Any], where: Any) -> str | None:
    """Why a part of an array cannot be read, if that is due to what lies there.

    Raises:
        MemoryError, OSError: it is due to the system.
    """
    try:
        array[where]
    except Exception as error:  # codecs fail in many ways on bytes that are not theirs
        if is_damage(error):
            return format_error(error)
        raise
    return None
