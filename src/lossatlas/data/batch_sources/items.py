"""Examples that are items of a map-style data set, collated batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from lossatlas.data.batch_source import FULL_HASH, READ_BYTES, SAMPLED, BatchSource, cut_pieces, spread
from lossatlas.data.batch_sources.tensors import Tensors
from lossatlas.data.item_reader import ItemReader
from lossatlas.data.trees import count_bytes, form
from lossatlas.data.workers import Workers, read_ahead
from lossatlas.errors import BadInput, CannotFinish
from lossatlas.hashing import fingerprint, fingerprint_parts
from lossatlas.types import Batch

__all__ = ["Items"]

MOST_AT_ONCE = 256
HASHED = 64
"""How many items are collated together for a hash."""


class Items(BatchSource):
    """Items of a data set, collated when they are read.

    Args:
        reader: reads and collates items.
        index: the indices of the examples among the reader's items, (N,), on the CPU.
        workers: the processes that read batches ahead of time.
        held: whether the items are in memory.
        room: how many bytes of batches may be kept, so that items are not collated again for every chunk of points.
    """

    def __init__(self, reader: ItemReader, index: Tensor, workers: Workers, *, held: bool, room: int) -> None:
        self.held = held
        self.device = tree_leaves(reader.tried)[0].device
        self._reader = reader
        self._index = index
        self._workers = workers
        self._room = room
        self._collated: dict[bytes, list[Batch]] = {}
        self._hashes: dict[tuple[bytes, str], str] = {}

    def __len__(self) -> int:
        return len(self._index)

    @property
    def form(self) -> str:
        return form(self._reader.tried)

    @property
    def at_once(self) -> int:
        return max(1, min(MOST_AT_ONCE, int(READ_BYTES // max(1, self._reader.bytes_per_example))))

    def read(self, rows: Tensor) -> Batch:
        (batch,) = _midway(self._batches([self._index[rows.cpu()]]))
        return batch

    def parts(self, parts: Sequence[slice], rows: Tensor | None = None) -> Iterator[Batch]:
        index = self._of(rows)
        wanted = [index[part] for part in parts]
        key = _digest(wanted)
        if key in self._collated:
            yield from self._collated[key]
            return
        made: list[Batch] | None = [] if self.held else None
        size = 0
        for batch in _midway(self._batches(wanted)):
            size += count_bytes(batch)
            if size > self._room:
                made = None
            if made is not None:
                made.append(batch)
            yield batch
        if made is not None:
            self._collated[key] = made
            self._room -= size

    def bytes_of(self, count: int) -> int:
        return int(count * self._reader.bytes_per_example)

    def kept(self, rows: Tensor | None, device: torch.device) -> BatchSource:
        index = self._of(rows)
        if self._reader.uniform:
            return Tensors(self._stacked(index, device), brief=True)
        parts = [part.tolist() for part in cut_pieces(index, self.at_once)]
        reader = self._reader
        if not self.held:
            read = zip(parts, read_ahead(reader.fetched, parts, self._workers), strict=True)
            items = {row: item for part, found in read for row, item in zip(part, found, strict=True)}
            reader = reader.over(items)
        for part in parts:  # refused now or never
            reader.batch(part)
        return Items(reader, index, self._workers, held=True, room=self._room)

    def fingerprint(self, rows: Tensor | None, kind: str) -> str:
        index = self._of(rows)
        key = _digest([index]), kind
        if key not in self._hashes:
            self._hashes[key] = self._hash(index, kind)
        return self._hashes[key]

    def _hash(self, index: Tensor, kind: str) -> str:
        if self.bytes_of(len(index)) > FULL_HASH:
            some = tree_leaves(self._reader.batch(index[spread(len(index))].tolist()))
            kind = f"{kind}|{SAMPLED} of {len(index)}"
            return fingerprint(((str(i), leaf) for i, leaf in enumerate(some)), kind)
        if self._reader.uniform:  # as if they were tensors: leaf by leaf
            parts = cut_pieces(index, self.at_once)
            leaves = tree_leaves(self._reader.tried)
            return fingerprint_parts(
                (
                    (str(i), leaf.dtype, (len(index), *leaf.shape[1:]), self._leaf(i, parts))
                    for i, leaf in enumerate(leaves)
                ),
                kind,
            )
        batches = enumerate(self._batches(cut_pieces(index, HASHED)))
        named = ((f"{k}.{i}", leaf) for k, batch in batches for i, leaf in enumerate(tree_leaves(batch)))
        return fingerprint(named, kind)

    def _leaf(self, number: int, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        for batch in self._batches(parts):
            yield tree_leaves(batch)[number]

    def _of(self, rows: Tensor | None) -> Tensor:
        return self._index if rows is None else self._index[rows]

    def _batches(self, parts: Sequence[Tensor]) -> Iterator[Batch]:
        workers = Workers() if self.held else self._workers
        return read_ahead(self._reader.batch, [part.tolist() for part in parts], workers)

    def _stacked(self, index: Tensor, device: torch.device) -> Batch:
        """Read all examples into one batch, part by part."""
        like, structure = tree_flatten(self._reader.tried)
        made = [torch.empty(len(index), *leaf.shape[1:], dtype=leaf.dtype, device=device) for leaf in like]
        done = 0
        parts = [part.tolist() for part in cut_pieces(index, self.at_once)]
        for batch in read_ahead(self._reader.batch, parts, self._workers):
            leaves = tree_leaves(batch)
            for whole, leaf in zip(made, leaves, strict=True):
                whole[done : done + len(leaf)] = leaf
            done += len(leaves[0])
        return tree_unflatten(made, structure)


def _midway(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Turn errors of the user's data set into CannotFinish, since the run has started."""
    try:
        yield from batches
    except BadInput as error:
        raise CannotFinish(str(error)) from error


def _digest(parts: Sequence[Tensor]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part.numpy().tobytes())
    return digest.digest()
