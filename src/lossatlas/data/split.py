"""A split: a named set of examples."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.types import Batch

__all__ = ["Split"]


class Split:
    """Examples as a pytree of tensors (N, ...), all with the same N.

    Args:
        data: a pair ``(inputs, targets)``, a dict, or any nesting of tensors.

    Raises:
        BadInput: a leaf is no tensor, lengths differ, or there are no examples.
    """

    def __init__(self, data: Batch) -> None:
        leaves = tree_leaves(data)
        if not leaves or not all(isinstance(leaf, Tensor) and leaf.ndim for leaf in leaves):
            raise BadInput("a split is made of tensors whose first dimension runs over examples")
        lengths = {len(leaf) for leaf in leaves}
        if len(lengths) > 1 or not min(lengths):
            raise BadInput(f"a split needs at least one example and tensors of one length; got {sorted(lengths)}")
        self.data = data
        self._leaves: list[Tensor] = leaves

    def __len__(self) -> int:
        return len(self._leaves[0])

    @property
    def device(self) -> torch.device:
        return self._leaves[0].device

    def to(self, device: torch.device | str) -> Split:
        """The same examples on a device."""
        return Split(tree_map(lambda leaf: leaf.to(device), self.data))

    def take(self, indices: Tensor) -> Batch:
        """The batch of the examples at ``indices`` (B,)."""
        indices = indices.to(self.device)
        return tree_map(lambda leaf: leaf[indices], self.data)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Indices (count,) of examples without replacement; all of them, shuffled, where there are fewer."""
        return torch.randperm(len(self), generator=generator)[:count]

    def subset(self, count: int, generator: torch.Generator) -> Split:
        """A random subset in its original order; the split itself where it has no more than ``count``."""
        if count >= len(self):
            return self
        return Split(self.take(self.draw(count, generator).sort().values))

    def groups(self, size: int) -> Iterator[Batch]:
        """The examples in order, in the fewest batches of at most ``size``, whose lengths differ by one at most.

        Lengths are balanced because batch statistics of a short last group would be poor ones.
        """
        count = -(-len(self) // size)
        edges = [len(self) * k // count for k in range(count + 1)]
        for part in map(slice, edges[:-1], edges[1:]):
            yield tree_map(lambda leaf, part=part: leaf[part], self.data)

    def fingerprint(self) -> str:
        """A hash of all examples."""
        return fingerprint((str(i), leaf) for i, leaf in enumerate(self._leaves))
