"""Examples that are tensors: in memory, on a device or in a memory-mapped file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.data.batch_source import FULL_HASH, READ_BYTES, SAMPLED, BatchSource, spread
from lossatlas.data.moving import move
from lossatlas.data.trees import form
from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.types import Batch

__all__ = ["Tensors"]


class Tensors(BatchSource):
    """A pytree of tensors (N, ...), all with the same N.

    Args:
        data: the pytree.
        brief: whether more than a GiB of examples is hashed by a few of them, as for a data set that would have to be
            read again.

    Raises:
        BadInput: a leaf is not a tensor, lengths differ, or there are no examples.
    """

    held = True

    def __init__(self, data: Batch, *, brief: bool = False) -> None:
        leaves = tree_leaves(data)
        if not leaves or not all(isinstance(leaf, Tensor) and leaf.ndim for leaf in leaves):
            raise BadInput(
                "a split is made of tensors whose first dimension runs over examples; Split.of takes arrays, data sets "
                "and loaders, too"
            )
        lengths = {len(leaf) for leaf in leaves}
        if len(lengths) > 1 or not min(lengths):
            raise BadInput(f"a split needs at least one example and tensors of one length; got {sorted(lengths)}")
        self.data = data
        self.leaves: list[Tensor] = leaves
        self.device = leaves[0].device
        self._brief = brief

    def __len__(self) -> int:
        return len(self.leaves[0])

    @property
    def form(self) -> str:
        return form(self.data)

    @property
    def at_once(self) -> int:
        return max(1, READ_BYTES // max(1, self.bytes_of(1)))

    def read(self, rows: Tensor) -> Batch:
        rows = move(rows, self.device)
        return tree_map(lambda leaf: leaf[rows], self.data)

    def parts(self, parts: Sequence[slice], rows: Tensor | None = None) -> Iterator[Batch]:
        for part in parts:
            if rows is not None:
                yield self.read(rows[part])
            else:
                yield tree_map(lambda leaf, part=part: leaf[part], self.data)

    def bytes_of(self, count: int) -> int:
        return count * sum(math.prod(leaf.shape[1:]) * leaf.element_size() for leaf in self.leaves)

    def kept(self, rows: Tensor | None, device: torch.device) -> Tensors:
        data = self.data if rows is None else self.read(rows)
        return Tensors(tree_map(lambda leaf: leaf.to(device), data), brief=self._brief)

    def fingerprint(self, rows: Tensor | None, kind: str) -> str:
        count = len(self) if rows is None else len(rows)
        if self._brief and self.bytes_of(count) > FULL_HASH:
            some = spread(count)
            kind, rows = f"{kind}|{SAMPLED} of {count}", some if rows is None else rows[some]
        return fingerprint(((str(i), leaf) for i, leaf in enumerate(self.leaves)), kind, rows)
