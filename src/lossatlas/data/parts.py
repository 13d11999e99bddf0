"""Parts of batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.types import Batch

__all__ = ["count_examples", "cut_parts", "take_rows"]


def count_examples(batch: Batch) -> int:
    """Count the examples of a batch, the length of its tensors."""
    return next(len(leaf) for leaf in tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim)


def take_rows(batch: Batch, part: slice) -> Batch:
    """Take some of the examples of a batch; leaves that do not run over examples are left as they are."""
    return tree_map(lambda leaf: leaf[part] if isinstance(leaf, Tensor) and leaf.ndim else leaf, batch)


def cut_parts(groups: Iterable[Batch], examples: int | None) -> Iterator[Batch]:
    """Cut batches into as few parts as possible of at most a number of examples.

    Args:
        groups: batches of examples.
        examples: the most examples of a part; None to leave batches whole.
    """
    for group in groups:
        size = count_examples(group)
        count = 1 if examples is None else -(-size // examples)
        edges = [size * k // count for k in range(count + 1)]
        for part in map(slice, edges[:-1], edges[1:]):
            yield group if count == 1 else take_rows(group, part)
