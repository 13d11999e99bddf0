"""Loaders: their data set, collation, batch size and workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, default_convert

from lossatlas.data.batch_source import cut_pieces
from lossatlas.data.item_reader import ItemReader, is_default_collation, stack
from lossatlas.data.takers.hugging_face import format_tensors
from lossatlas.data.takers.items import count_items, take_items
from lossatlas.data.takers.iterables import take_iterable
from lossatlas.data.takers.lists import is_batch
from lossatlas.data.takers.samplers import list_rows
from lossatlas.data.takers.taken import How, Taken
from lossatlas.data.takers.tensors import join_batches

__all__ = ["take_loader"]


def take_loader(loader: DataLoader[Any], how: How) -> Taken:
    """Make a batch source of a loader's examples and collation, in the order of its data set.

    Raises:
        BadInput: the sampler of the loader weighs or repeats examples, or they cannot be read or collated.
    """
    kind: Any = loader
    workers = how.workers if how.workers is not None else loader.num_workers
    options = {name: getattr(kind, name) for name in ("worker_init_fn", "multiprocessing_context", "timeout")}
    how = replace(how, workers=workers, options=options)
    sampler = loader.batch_sampler
    size = loader.batch_size if sampler is None else getattr(sampler, "batch_size", None)
    size = size if isinstance(size, int) and size > 0 else None
    if loader.batch_size is None and sampler is None and how.collate is None:
        return _without_batches(loader, how)
    own = how.collate is None and not is_default_collation(loader.collate_fn)  # to what the data set gives as it is
    data, said = format_tensors(loader.dataset) if not own else (kind.dataset, ())
    how = replace(how, collate=how.collate if how.collate is not None else loader.collate_fn)
    if isinstance(loader.dataset, IterableDataset):
        return take_iterable(data, how).noted(said, size)
    rows, notes = list_rows(loader, count_items(data))
    return take_items(data, how, rows, notes).noted(said, size)


def _without_batches(loader: DataLoader[Any], how: How) -> Taken:
    """Take a loader without batches (``batch_size=None``), whose data set yields examples, or batches of its own."""
    plain = loader.collate_fn is default_convert
    given: Any = loader.dataset
    data, said = format_tensors(given) if plain else (given, ())
    if isinstance(given, IterableDataset):
        return take_iterable(data if plain else map(loader.collate_fn, data), how).noted(said)
    rows, notes = list_rows(loader, count_items(data))
    items = data if plain else _Converted(data, loader.collate_fn)
    everything = rows if rows is not None else torch.arange(count_items(data))
    reader = ItemReader(items, everything, len(items), stack, allow_random=how.allow_random)
    if is_batch(reader.fetched(everything[:1].tolist())[0]):
        found = [batch for part in cut_pieces(everything, 16) for batch in reader.fetched(part.tolist())]
        return join_batches(found, how).noted((*said, *notes))
    return take_items(items, how, rows, notes).noted(said)


class _Converted:
    """A data set whose items are converted one by one."""

    def __init__(self, items: Any, convert: Callable[[Any], Any]) -> None:
        self._items = items
        self._convert = convert

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, row: int) -> Any:
        return self._convert(self._items[row])
