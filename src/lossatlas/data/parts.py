"""Parts of batches: how many examples one has, and some of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.types import Batch

__all__ = ["count_examples", "cut_parts", "take_rows"]


def count_examples(batch: Batch) -> int:
    """How many examples a batch has: the length of its tensors."""
    return next(len(leaf) for leaf in tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim)


def take_rows(batch: Batch, part: slice) -> Batch:
    """Some of the examples of a batch; what does not run over examples stays."""
    return tree_map(lambda leaf: leaf[part] if isinstance(leaf, Tensor) and leaf.ndim else leaf, batch)


def cut_parts(groups: Iterable[Batch], examples: int | None) -> Iterator[Batch]:
    """Groups, or the fewest parts of them that have no more than so many examples each.

    Args:
        groups: batches of examples.
        examples: at most; None: groups stay whole.
    """
    for group in groups:
        size = count_examples(group)
        count = 1 if examples is None else -(-size // examples)
        edges = [size * k // count for k in range(count + 1)]
        for part in map(slice, edges[:-1], edges[1:]):
            yield group if count == 1 else take_rows(group, part)
