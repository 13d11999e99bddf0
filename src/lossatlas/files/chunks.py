"""Chunks of zarr arrays, and which of them cannot be decoded."""

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
    """A part of an array in a file of its own: a chunk, or a shard if the array has shards."""

    place: tuple[int, ...]
    """The index of the chunk along each dimension."""
    key: str
    """The path of the file in the folder of the array."""
    region: tuple[slice, ...]
    """The region of the array that the chunk holds."""

    def where(self, dimensions: Sequence[Any]) -> str:
        """Describe the region in words: ``u 0 to 15, v 16 to 31``."""
        sides = zip(dimensions, self.region, strict=False)
        return ", ".join(f"{dimension} {part.start} to {part.stop - 1}" for dimension, part in sides)


@dataclass(frozen=True)
class DamagedChunk(Chunk):
    """A chunk that cannot be decoded."""

    reason: str


def list_chunks(array: zarr.Array[Any], rows: Iterable[int] | None = None) -> Iterator[list[Chunk]]:
    """Yield all chunks of an array, row by row: those with the same index along the first dimension.

    Args:
        array: the array, of any number of dimensions; one without dimensions has a single chunk.
        rows: the indices along the first dimension; default all.
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
    """Yield the existing chunks that cannot be decoded; the arguments are those of :func:`list_chunks`.

    A row of chunks is read at once, and chunk by chunk only if that fails.

    Raises:
        MemoryError, OSError: a chunk cannot be read for a reason other than its content.
    """
    for chunks in list_chunks(array, rows):
        if _problem(array, chunks[0].region[:1] or ...) is None:
            continue
        for chunk in chunks:
            if (reason := _problem(array, chunk.region)) is not None:
                yield DamagedChunk(chunk.place, chunk.key, chunk.region, reason)


def is_damage(error: BaseException) -> bool:
    """Return whether an error is due to the content of a file, and not to the system."""
    refused = error.__cause__ if isinstance(error, Unreadable) else error
    return not isinstance(refused, MemoryError | OSError) or getattr(refused, "errno", None) == errno.EIO


def _problem(array: zarr.Array[Any], where: Any) -> str | None:
    """Return why a part of an array cannot be read, if that is due to its content.

    Raises:
        MemoryError, OSError: the error is due to the system.
    """
    try:
        array[where]
    except Exception as error:  # codecs raise many kinds of errors on foreign bytes
        if is_damage(error):
            return format_error(error)
        raise
    return None
