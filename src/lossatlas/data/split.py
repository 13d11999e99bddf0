"""A split: a named set of examples."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.data.transform import Transform
from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.types import Batch

__all__ = ["Split"]

GIB = 2**30


class Split:
    """Examples as a pytree of tensors (N, ...), all with the same N.

    Examples that are too many for a device are *streamed* to it: they stay where they are (in the processor's memory,
    or in a file that is mapped into it) and only batches move. What batches hold is the same either way.

    Args:
        data: a pair ``(inputs, targets)``, a dict, or any nesting of tensors.
        transform: applied to each batch that is taken, on the batch's device.
        memory: GiB of ``data`` that may be kept on a device, or copied; more are streamed.

    Raises:
        BadInput: a leaf is no tensor, lengths differ, or there are no examples.
    """

    def __init__(self, data: Batch, transform: Transform | None = None, memory: float = math.inf) -> None:
        leaves = tree_leaves(data)
        if not leaves or not all(isinstance(leaf, Tensor) and leaf.ndim for leaf in leaves):
            raise BadInput("a split is made of tensors whose first dimension runs over examples")
        lengths = {len(leaf) for leaf in leaves}
        if len(lengths) > 1 or not min(lengths):
            raise BadInput(f"a split needs at least one example and tensors of one length; got {sorted(lengths)}")
        self.transform = transform
        self.memory = memory
        self._held = data
        self._leaves: list[Tensor] = leaves
        self._rows: Tensor | None = None
        """Which of the held examples are the split's, on the processor; None: all."""
        self._device: torch.device = leaves[0].device
        self.population = len(leaves[0])
        """How many examples these were drawn from; as many as there are, where nobody drew."""

    def __len__(self) -> int:
        return len(self._leaves[0]) if self._rows is None else len(self._rows)

    @property
    def data(self) -> Batch:
        """All examples as they are held, before the transform; a copy where the split is part of a streamed one."""
        return self._held if self._rows is None else self._gather(self._rows)

    @property
    def device(self) -> torch.device:
        """Where batches are."""
        return self._device

    @property
    def streamed(self) -> bool:
        """Whether the examples are held elsewhere than batches are, or are too many to be copied."""
        return self._rows is not None or self._leaves[0].device != self._device

    def to(self, device: torch.device | str) -> Split:
        """The same examples, whose batches are on a device."""
        device = torch.empty(0, device=device).device  # with its index
        if device == self._device:
            return self
        if device == self._leaves[0].device or (device.type != "cpu" and not self._fits(len(self))):
            return self._with(_device=device)
        return self._holding(tree_map(lambda leaf: leaf.to(device), self.data), device)

    def take(self, indices: Tensor) -> Batch:
        """The batch of the examples at ``indices`` (B,)."""
        return self._batch(self._gather(self._rows[indices.to("cpu")] if self._rows is not None else indices))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Indices (count,) of examples without replacement; all of them, shuffled, where there are fewer."""
        return torch.randperm(len(self), generator=generator)[:count]

    def subset(self, count: int, generator: torch.Generator) -> Split:
        """A random subset in its original order; the split itself where it has no more than ``count``.

        It is copied out of the split where it fits the memory, and stays a view of it where it does not.
        """
        if count >= len(self):
            return self
        rows = self.draw(count, generator).sort().values
        rows = rows if self._rows is None else self._rows[rows]
        drawn = self._holding(self._gather(rows), self._device) if self._fits(count) else self._with(_rows=rows)
        drawn.population = self.population
        return drawn

    def groups(self, size: int) -> Iterator[Batch]:
        """The examples in order, in the fewest batches of at most ``size``, whose lengths differ by one at most.

        Lengths are balanced because batch statistics of a short last group would be poor ones.
        """
        count = -(-len(self) // size)
        edges = [len(self) * k // count for k in range(count + 1)]
        for part in map(slice, edges[:-1], edges[1:]):
            if self._rows is not None:
                yield self._batch(self._gather(self._rows[part]))
            else:
                yield self._batch(tree_map(lambda leaf, part=part: leaf[part], self._held))

    def fingerprint(self) -> str:
        """A hash of all examples and of the transform, the same whether they are streamed or not."""
        kind = self.transform.key if self.transform is not None else ""
        return fingerprint(((str(i), leaf) for i, leaf in enumerate(self._leaves)), kind, self._rows)

    def _fits(self, count: int) -> bool:
        """Whether ``count`` examples are few enough to be kept on a device."""
        per_example = sum(math.prod(leaf.shape[1:]) * leaf.element_size() for leaf in self._leaves)
        return count * per_example <= self.memory * GIB

    def _gather(self, rows: Tensor) -> Batch:
        """Held examples, where they are held."""
        rows = rows.to(self._leaves[0].device)
        return tree_map(lambda leaf: leaf[rows], self._held)

    def _batch(self, held: Batch) -> Batch:
        """A batch of held examples as it is handed out."""
        batch = tree_map(lambda leaf: leaf.to(self._device), held)
        return batch if self.transform is None else self.transform(batch)

    def _holding(self, data: Batch, device: torch.device) -> Split:
        """A split like this one of other examples, which are moved to the device where they are not on it."""
        held = tree_map(lambda leaf: leaf.to(device), data)
        return self._with(_held=held, _leaves=tree_leaves(held), _rows=None, _device=device)

    def _with(self, **changes: Any) -> Split:
        twin = copy.copy(self)
        vars(twin).update(changes)
        return twin
