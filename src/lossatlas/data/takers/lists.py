"""Lists of batches or of items."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from lossatlas.data.takers.items import take_items
from lossatlas.data.takers.taken import How, Taken
from lossatlas.data.takers.tensors import join_batches, take_tensors
from lossatlas.data.trees import form, make_tree
from lossatlas.errors import BadInput

__all__ = ["is_batch", "take_list"]


def take_list(source: list[Any], how: How) -> Taken:
    """Make a batch source of a list of batches (whose tensors have equal lengths), of items, or of tensors (one batch).

    Raises:
        BadInput: the list is empty, or could be of batches or of items.
    """
    if not source:
        raise BadInput("the list of examples is empty; expected at least one batch or item")
    if how.collate is not None:
        return take_items(source, how)
    one = source[0]
    if all(isinstance(part, Tensor) or hasattr(part, "__array__") for part in source) and make_tree(one).ndim:
        return take_tensors(source, how)
    if not is_batch(one):
        return take_items(source, how)
    return join_batches(source, how)


def is_batch(one: Any) -> bool:
    """Whether an element of a list is a batch of examples, and not a single example.

    Raises:
        BadInput: it could be either.
    """
    try:
        leaves = tree_leaves(make_tree(one))
    except BadInput:
        return False
    if not leaves or any(not leaf.ndim for leaf in leaves) or len({len(leaf) for leaf in leaves}) > 1:
        return False
    if len(leaves) > 1 and all(leaf.ndim == 1 for leaf in leaves):
        raise BadInput(
            f"a list whose elements are {form(make_tree(one))} of length {len(leaves[0])} could hold examples or "
            "batches; give collate=torch.utils.data.default_collate for examples, or batches joined by torch.cat"
        )
    return True
