"""Making a batch source of examples in any form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from lossatlas.data.randomness import keep_generators
from lossatlas.data.takers.hugging_face import format_tensors, is_hugging_face
from lossatlas.data.takers.items import take_items
from lossatlas.data.takers.iterables import take_iterable
from lossatlas.data.takers.lists import take_list
from lossatlas.data.takers.loaders import take_loader
from lossatlas.data.takers.taken import How, Taken
from lossatlas.data.takers.tensors import take_tensors
from lossatlas.errors import BadInput, CannotFinish
from lossatlas.types import Source

__all__ = ["take_source"]

EXPECTED = (
    "expected tensors or arrays in pairs, dicts or any nesting, a data set, a DataLoader, a list of batches or of "
    "items, or an iterable with first=N"
)


def take_source(
    source: Source,
    collate: Callable[[list[Any]], Any] | None,
    first: int | None,
    limit: float,
    workers: int | None,
    allow_random: bool,
) -> Taken:
    """Make the batch source of what :meth:`lossatlas.Split.of` is given; ``limit`` is in bytes.

    Raises:
        BadInput: the source has a form that is not supported.
    """
    if first is not None and first < 1:
        raise BadInput(f"first is {first}; expected a number of examples, at least 1")
    if workers is not None and workers < 0:
        raise BadInput(f"workers is {workers}; expected a number of processes, 0 for none")
    with keep_generators():
        try:
            return _taken(source, How(collate, first, limit, workers, allow_random))
        except CannotFinish as error:  # nothing has been computed yet
            raise BadInput(str(error)) from error


def _taken(source: Source, how: How) -> Taken:
    if isinstance(source, DataLoader):
        return take_loader(source, how)
    if is_hugging_face(source):
        if isinstance(source, Mapping) and len(source) == 1:
            ((name, only),) = source.items()
            return _taken(only, how).noted((f"the only data set there is, {name!r}",))
        found, notes = format_tensors(source)
        made = take_items(found, how) if hasattr(found, "__len__") else take_iterable(found, how)
        return made.noted(notes)
    if isinstance(source, IterableDataset):
        return take_iterable(source, how)
    if isinstance(source, list):
        return take_list(source, how)
    if isinstance(source, Tensor | Mapping | tuple) or hasattr(source, "__array__"):
        return take_tensors(source, how)
    if isinstance(source, str | bytes):
        raise BadInput(f"{source!r} is text; {EXPECTED} (load_data(NAME).train for a name)")
    if hasattr(source, "__getitem__") and not isinstance(source, type):
        return take_items(source, how)
    if isinstance(source, Iterable):
        return take_iterable(source, how)
    if hasattr(source, "train") and hasattr(source, "test"):
        raise BadInput(f"an object of type {type(source).__name__} has several splits; choose its .train or its .test")
    raise BadInput(f"examples cannot be taken from an object of type {type(source).__name__}; {EXPECTED}")
