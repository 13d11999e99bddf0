"""Iterables, which can be read from the beginning only and may be infinite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from lossatlas.data.item_reader import ItemReader, stack
from lossatlas.data.takers.items import take_items
from lossatlas.data.takers.lists import is_batch
from lossatlas.data.takers.taken import GIB, How, Taken
from lossatlas.data.takers.tensors import join_batches
from lossatlas.data.trees import copy_owned, count_bytes, find_difference, make_tree
from lossatlas.errors import BadInput, format_error

__all__ = ["take_iterable"]


def take_iterable(source: Iterable[Any], how: How) -> Taken:
    """Make a batch source of the first examples of an iterable of examples or of batches.

    Raises:
        BadInput: the number of examples is not given, the iterable yields nothing or more than fits the memory, or it
            yields other examples when it is read again.
    """
    if how.first is None:
        raise BadInput(
            f"an object of type {type(source).__name__} is read from its beginning and may have no end; say first=N to "
            "take its first N examples"
        )
    elements: list[Any] = []
    count = 0
    batches = False
    try:
        for element in source:
            if not elements:
                batches = how.collate is None and is_batch(element)
                _check_room(element, how, batches=batches)
            elements.append(copy_owned(element))  # the next one may be read into the same memory
            count += len(tree_leaves(make_tree(element))[0]) if batches else 1
            if count >= how.first:
                break
    except BadInput:
        raise
    except Exception as error:  # the user's own code may fail in any way
        raise BadInput(
            f"the {type(source).__name__} fails after {count} examples: {format_error(error, kind=True)}"
        ) from error
    if not elements:
        raise BadInput(f"the {type(source).__name__} yields nothing; expected at least one example")
    enough = count >= how.first
    note = f"the first {how.first:,} examples" if enough else f"all {count:,} examples, fewer than first={how.first},"
    _check_begins_alike(source, elements[0], how, batches=batches)
    found = join_batches(elements, how) if batches else take_items(elements, replace(how, workers=0))
    return found.noted((f"{note} of an object of type {type(source).__name__}",))


def _check_room(element: Any, how: How, *, batches: bool) -> None:
    """Refuse more examples than fit the memory, by the size of the first, as iterables cannot be read again."""
    try:
        tree = make_tree(element)
    except BadInput:  # only the collation makes numbers of it
        return
    each = count_bytes(tree) / (len(tree_leaves(tree)[0]) if batches else 1)
    if (size := (how.first or 0) * each) > how.limit:
        raise BadInput(
            f"{how.first:,} examples take {size / GIB:.3g} GiB, and {how.limit / GIB:.3g} GiB may be held; take a "
            "smaller first=, or allow more by memory="
        )


def _check_begins_alike(source: Iterable[Any], first: Any, how: How, *, batches: bool) -> None:
    """Refuse an iterable that begins with another example when it is read again; an iterator cannot be read again."""
    if how.allow_random or isinstance(source, Iterator):
        return
    again = list(islice(source, 1))
    if batches:
        trees = [make_tree(element) for element in (first, *again)]
    else:
        collate = how.collate if how.collate is not None else stack
        row = torch.arange(1)
        trees = [ItemReader([one], row, 1, collate, allow_random=True).batch([0]) for one in (first, *again)]
    if len(trees) < 2 or find_difference(*trees) is not None:
        raise BadInput(
            f"the {type(source).__name__} begins with another example when it is read twice (shuffled, augmented?); "
            "give one that stays the same, or allow_random=True to keep what one reading gives"
        )
