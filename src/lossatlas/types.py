"""Type aliases that several modules share."""

from __future__ import annotations

from typing import Any, TypeAlias

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["Batch", "Outputs", "Params", "Source", "examples_in", "rows_of"]

Batch: TypeAlias = Any
"""A pytree of tensors whose first dimension runs over examples: a pair ``(inputs, targets)``, a dict, ..."""

Outputs: TypeAlias = Any
"""What the module returns for a batch: a tensor or a pytree of tensors, first dimension examples."""

Params: TypeAlias = dict[str, Tensor]
"""Named parameters of one network, each of its own shape."""

Source: TypeAlias = Any
"""What a split is made of: tensors, arrays, a data set, a loader, ... (see :meth:`lossatlas.Split.of`), or a split."""


def examples_in(batch: Batch) -> int:
    """How many examples a batch has: the length of its tensors."""
    return next(len(leaf) for leaf in tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim)


def rows_of(batch: Batch, part: slice) -> Batch:
    """Some of the examples of a batch; what does not run over examples stays."""
    return tree_map(lambda leaf: leaf[part] if isinstance(leaf, Tensor) and leaf.ndim else leaf, batch)
