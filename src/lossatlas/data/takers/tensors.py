"""Tensors and arrays: one batch of all examples, or several that are joined."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from lossatlas.data.batch_sources.tensors import Tensors
from lossatlas.data.takers.taken import How, Taken, list_notes
from lossatlas.data.trees import form, make_tree, name_leaves, order_like
from lossatlas.errors import BadInput
from lossatlas.types import Batch, Source

__all__ = ["join_batches", "take_tensors"]


def take_tensors(source: Source, how: How) -> Taken:
    """Make a batch source of one batch of all examples.

    Raises:
        BadInput: it holds something that is not numeric, or tensors of different lengths.
    """
    if how.collate is not None:
        raise BadInput("collate= makes batches of items, and tensors are one batch already; leave it out")
    left_out: set[str] = set()
    tree = make_tree(source, left_out)
    leaves = tree_leaves(tree)
    if not leaves:
        raise BadInput("the examples hold no numbers; expected tensors or arrays")
    lengths = {name: len(leaf) if leaf.ndim else None for name, leaf in zip(name_leaves(tree), leaves, strict=True)}
    if None in lengths.values() or len({*lengths.values()}) > 1:
        found = ", ".join(f"{name or 'it'}: {'a number' if n is None else n}" for name, n in lengths.items())
        raise BadInput(
            f"a {type(source).__name__} of tensors is one batch of all examples, and their lengths differ ({found}); "
            "expected one length; give several batches, or items, as a list of pairs or dicts"
        )
    if how.first is not None:
        leaves, structure = tree_flatten(tree)
        tree = tree_unflatten([leaf[: how.first] for leaf in leaves], structure)
    return Taken(Tensors(tree), list_notes(left_out))


def join_batches(batches: list[Any], how: How) -> Taken:
    """Join batches of equal structure and any lengths.

    Raises:
        BadInput: structures, types or shapes differ.
    """
    left_out: set[str] = set()
    trees = [make_tree(batch, left_out) for batch in batches]
    trees = [order_like(tree, trees[0]) for tree in trees]
    leaves, structure = tree_flatten(trees[0])
    columns: list[list[Tensor]] = [[] for _ in leaves]
    for place, tree in enumerate(trees):
        found, other = tree_flatten(tree)
        if other != structure:
            raise BadInput(
                f"batch {place} has another structure than batch 0: {', '.join(name_leaves(tree))} instead of "
                f"{', '.join(name_leaves(trees[0]))}; expected one for all"
            )
        if len({len(leaf) if leaf.ndim else 0 for leaf in found}) > 1:
            raise BadInput(f"the tensors of batch {place} have different lengths: {form(tree)}; expected one")
        for name, column, leaf, like in zip(name_leaves(tree), columns, found, leaves, strict=True):
            if leaf.dtype != like.dtype or leaf.shape[1:] != like.shape[1:]:
                raise BadInput(
                    f"entry {name!r} is {form(leaf)} in batch {place} and {form(like)} in batch 0; expected one type "
                    "and shape: pad them alike, or give the items and collate="
                )
            column.append(leaf)
    joined: Batch = tree_unflatten([torch.cat(column) for column in columns], structure)
    made = take_tensors(joined, how)
    said = f"{len(batches):,} batches are joined: {len(made.source):,} examples"
    return made.noted((said, *list_notes(left_out)))
