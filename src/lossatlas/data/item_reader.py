"""Reading and collating items of a data set, with failures described in one line."""

from __future__ import annotations

import copy
import operator
import zlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves
from torch.utils.data import default_collate

from lossatlas.data.batch_source import spread
from lossatlas.data.randomness import keep_generators
from lossatlas.data.trees import (
    copy_owned,
    count_bytes,
    find_difference,
    form,
    make_tree,
    name_leaves,
    order_like,
    stack_numbers,
)
from lossatlas.errors import BadInput, format_error
from lossatlas.types import Batch
from lossatlas.users_code import call_user_code

__all__ = ["Collate", "ItemReader", "is_default_collation", "stack"]

Collate = Callable[[list[Any]], Any]
"""A function from a list of items to a batch."""


class ItemReader:
    """Reads items by their indices and collates them.

    Args:
        items: has ``items[index]``, and optionally ``items.__getitems__(indices)`` for several at once.
        index: the indices of the items to be used (n,).
        count: the number of all items.
        collate: a function from a list of items to a batch.
        allow_random: whether items and collation may be random; the generators of torch, NumPy and Python are then
            seeded by the indices of the items.
    """

    def __init__(self, items: Any, index: Tensor, count: int, collate: Collate, *, allow_random: bool = False) -> None:
        self.items = items
        self._index = index
        self.count = count
        self.collate = collate
        self.allow_random = allow_random
        self.left_out: set[str] = set()
        """The entries of the batches that hold text, known after :attr:`tried`."""

    @property
    def uniform(self) -> bool:
        """Whether items are stacked, so that an example does not depend on the others of its batch."""
        return is_default_collation(self.collate)

    @cached_property
    def tried(self) -> Batch:
        """A batch of a few items spread over all of them, which was read twice.

        Raises:
            BadInput: an item cannot be read or differs the second time, or the items cannot be collated.
        """
        rows = self._index[spread(len(self._index))].tolist()
        first = self._batch(rows)
        second = first if self.allow_random else self._batch(rows)
        if (row := find_difference(first, second)) is not None:
            which = f"item {rows[row]}" if row >= 0 else "what is read of the items"
            raise BadInput(
                f"{which} of the data set differs when it is read twice: is it random (augmented, masked)? Give "
                "examples that stay the same, or allow_random=True to keep what one reading gives"
            )
        return first

    @property
    def bytes_per_example(self) -> float:
        """The bytes of an example, estimated from the items that were tried."""
        return count_bytes(self.tried) / len(tree_leaves(self.tried)[0])

    def batch(self, rows: Sequence[int]) -> Batch:
        """Read and collate the items at ``rows``.

        Raises:
            BadInput: an item cannot be read, they cannot be collated, or the structure differs from that of others.
        """
        batch = order_like(self._batch(rows), self.tried)
        self._check_like_others(batch, rows)
        return batch

    def fetched(self, rows: Sequence[int]) -> list[Any]:
        """Read the items at ``rows``, as copies if the data set reuses its memory.

        Raises:
            BadInput: an item cannot be read.
        """
        try:
            found = call_user_code(self._fetched, rows)
        except Exception as error:  # the user's own data set may fail in any way
            raise self._unread(rows, error) from error
        if len(found) != len(rows):
            raise BadInput(f"the data set gave {len(found)} items for {len(rows)} indices; expected one for each")
        return found

    def over(self, items: Any) -> ItemReader:
        """Make a reader of the same items from another container."""
        twin = copy.copy(self)
        twin.items = items
        return twin

    def _fetched(self, rows: Sequence[int]) -> list[Any]:
        if self.allow_random:  # each is a function of its index, whatever it is read with
            return [self._drawn(row) for row in rows]
        several = getattr(self.items, "__getitems__", None)
        if type(self.items) in (list, dict):  # in memory already, all of them
            return [self.items[row] for row in rows]
        return list(map(copy_owned, several(list(rows)) if several else (self.items[row] for row in rows)))

    def _drawn(self, row: int) -> Any:
        with keep_generators(row):
            return copy_owned(self.items[row])

    def _batch(self, rows: Sequence[int]) -> Batch:
        items = self.fetched(rows)
        seed = zlib.crc32(np.asarray(rows, np.int64).tobytes())
        try:
            with keep_generators(seed) if self.allow_random else nullcontext():
                collated = call_user_code(self.collate, items)
        except Exception as error:  # and so may the collation
            raise self._uncollated(items, rows, error) from error
        if not self.uniform:  # it may reuse the same memory
            collated = copy_owned(collated)
        batch = make_tree(collated, self.left_out)
        leaves, names = tree_leaves(batch), name_leaves(batch)
        if not leaves:
            raise BadInput("the examples hold no numbers (text is left out); make numbers of them, as by collate=")
        for name, leaf in zip(names, leaves, strict=True):
            if not leaf.ndim or len(leaf) != len(rows):
                raise BadInput(
                    f"entry {name!r} of a batch of {len(rows)} items has shape {tuple(leaf.shape)}; expected a first "
                    "dimension that runs over the items: collate them so (padding: batch_first=True), or leave it out"
                )
        return batch

    def _check_like_others(self, batch: Batch, rows: Sequence[int]) -> None:
        (spec, kinds), (known_spec, known) = _kind(batch), _kind(self.tried)
        which = f"items {rows[0]} to {rows[-1]}" if len(rows) > 1 else f"item {rows[0]}"
        if spec != known_spec:
            found, expected = (", ".join(name_leaves(tree)) for tree in (batch, self.tried))
            raise BadInput(
                f"{which} of the data set have another structure than others: {found} instead of {expected}; expected "
                "one for all"
            )
        for name, kind, other in zip(name_leaves(batch), kinds, known, strict=True):
            if kind != other:
                found = self._odd_item(name, rows) or f"{kind} in {which} of the data set and {other} in others"
                raise BadInput(f"entry {name!r} is {found}; convert it")
        if self.uniform:
            for name, leaf, other in zip(name_leaves(batch), tree_leaves(batch), tree_leaves(self.tried), strict=True):
                if leaf.shape[1:] != other.shape[1:]:
                    raise BadInput(
                        f"entry {name!r} has shape {tuple(leaf.shape[1:])} in {which} of the data set and "
                        f"{tuple(other.shape[1:])} in others, and torch's default collation stacks them; give "
                        "collate=, a function of a list of items that pads them"
                    )

    def _odd_item(self, name: str, rows: Sequence[int]) -> str | None:
        """Which item is the first of these, and of those that were tried, whose entry is of another type than item 0's.

        None where items are not stacked, whose entries have no type of their own, or where it cannot be told.
        """
        if not self.uniform:
            return None
        zero = int(self._index[0])
        tried = self._index[spread(len(self._index))].tolist()
        kinds = {row: self._entry(row, name) for row in [zero, *sorted({*rows, *tried} - {zero})]}
        odd = next((row for row, kind in kinds.items() if kind != kinds[zero]), None)
        return None if odd is None else f"{kinds[odd]} in item {odd} of the data set and {kinds[zero]} in item {zero}"

    def _entry(self, row: int, name: str) -> str:
        batch = self._batch([row])
        return form(dict(zip(name_leaves(batch), tree_leaves(batch), strict=True)).get(name, ()))

    def _unread(self, rows: Sequence[int], error: Exception) -> BadInput:
        row = rows[0]
        for row in rows:
            try:
                call_user_code(operator.getitem, self.items, row)
            except Exception as found:
                error = found
                break
        if isinstance(error, IndexError | StopIteration):
            return BadInput(
                f"the data set says that it has {self.count} items, and item {row} is not there "
                f"({format_error(error, kind=True)}); mend its length"
            )
        return BadInput(f"item {row} of the data set cannot be read: {format_error(error, kind=True)}")

    def _uncollated(self, items: list[Any], rows: Sequence[int], error: Exception) -> BadInput:
        """Which item it is: the first that cannot be collated alone, else with the first of them."""
        which, said = f"on items {rows[0]} to {rows[-1]}", error
        alone = [[place] for place in range(len(items))]
        for places in [*alone, *([0, place] for place in range(1, len(items)))]:
            try:
                call_user_code(self.collate, [items[place] for place in places])
            except Exception as found:
                which, said = f"on item{'s' * (len(places) > 1)} {' and '.join(str(rows[p]) for p in places)}", found
                break
        if self.uniform:
            return BadInput(
                f"torch's default collation fails {which} of the data set: {format_error(said, kind=True)}; give "
                "collate=, a function of a list of items that pads or converts them"
            )
        return BadInput(f"the collation fails {which} of the data set: {format_error(said, kind=True)}")


def stack(items: list[Any]) -> Any:
    """Stack items as torch's default collation does, with a list of numbers as one tensor."""
    return default_collate([_with_tensors(item) for item in items])


def is_default_collation(collate: Collate) -> bool:
    """Whether a collation stacks items as torch does by default."""
    return collate in (stack, default_collate)


def _with_tensors(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _with_tensors(part) for key, part in item.items()}
    if isinstance(item, list) and (made := stack_numbers(item)) is not None:
        return made
    if type(item) in (tuple, list):
        return type(item)(_with_tensors(part) for part in item)
    return item


def _kind(batch: Batch) -> tuple[TreeSpec, list[_Kind]]:
    """The structure of a batch, with the dtype and number of dimensions of each leaf."""
    leaves, spec = tree_flatten(batch)
    return spec, [_Kind(leaf.dtype, leaf.ndim) for leaf in leaves]


class _Kind(NamedTuple):
    """The properties of a leaf that are equal in all batches."""

    dtype: torch.dtype
    dimensions: int

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} with {self.dimensions} dimensions"
