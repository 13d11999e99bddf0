"""Map-style data sets: objects with ``source[index]`` and a length."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset, default_collate

from lossatlas.data.batch_sources.items import Items
from lossatlas.data.batch_sources.tensors import Tensors
from lossatlas.data.item_reader import ItemReader, stack
from lossatlas.data.takers.taken import GIB, How, Taken, list_notes
from lossatlas.data.workers import Workers
from lossatlas.errors import BadInput, format_error

__all__ = ["count_items", "take_items"]


def take_items(source: Any, how: How, rows: Tensor | None = None, notes: tuple[str, ...] = ()) -> Taken:
    """Make a batch source of an object with ``source[index]`` and a length.

    Args:
        source: the data set, or a list of items.
        how: how it is to be read.
        rows: ascending indices (n,) of the items to be taken; None for all.
        notes: remarks about that choice.

    Raises:
        BadInput: there are no items, or they cannot be read or collated.
    """
    collate = how.collate if how.collate is not None else stack
    count = count_items(source, how.first)
    rows = rows if rows is not None else torch.arange(count)
    if how.first is not None and how.first < len(rows):
        notes = (*notes, f"the first {how.first:,} of {len(rows):,} examples")
        rows = rows[: how.first]
    if type(source) is TensorDataset and collate in (stack, default_collate):
        whole = Tensors(tuple(source.tensors))
        return Taken(whole if len(rows) == count else whole.kept(rows, whole.device), notes)
    reader = ItemReader(source, rows, count, collate, allow_random=how.allow_random)
    return _read(reader, rows, how, held=isinstance(source, list)).noted(notes)


def _read(reader: ItemReader, rows: Tensor, how: How, *, held: bool) -> Taken:
    """Items that are read now if they fit the memory, and otherwise when they are needed."""
    size = len(rows) * reader.bytes_per_example  # which tries some
    workers = Workers(how.workers or 0, how.options)
    items = Items(reader, rows, workers, held=held, room=int(max(0, how.limit - size)))
    notes = list_notes(reader.left_out)
    if how.allow_random:
        notes = (*notes, "items may be random; the generators of torch, NumPy and Python are seeded by their indices")
    if size <= how.limit or (held and not reader.uniform):
        return Taken(items.kept(None, items.device), notes)
    streamed = f"{size / GIB:.3g} GiB of examples are read as they are needed: {how.limit / GIB:.3g} GiB may be held"
    return Taken(items, (*notes, streamed))


def count_items(source: Any, otherwise: int | None = None) -> int:
    """Count the items of a data set; ``otherwise`` where it does not say how many it has."""
    try:
        count = len(source)
    except Exception as error:  # the user's own code may fail in any way
        if otherwise is not None and not hasattr(source, "__len__"):
            return otherwise
        raise BadInput(
            f"an object of type {type(source).__name__} does not say how many items it has ({format_error(error)}); "
            "give it a __len__, or say first=N"
        ) from error
    if count < 1:
        raise BadInput(f"the {type(source).__name__} has no items; expected at least one example")
    return count
