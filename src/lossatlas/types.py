"""Type aliases that several modules share."""

from __future__ import annotations

from typing import Any, TypeAlias

from torch import Tensor

__all__ = ["Batch", "Outputs", "Params", "Source"]

Batch: TypeAlias = Any
"""A pytree of tensors whose first dimension runs over examples: a pair ``(inputs, targets)``, a dict, ..."""

Outputs: TypeAlias = Any
"""What the module returns for a batch: a tensor or a pytree of tensors, first dimension examples."""

Params: TypeAlias = dict[str, Tensor]
"""Named parameters of one network, each of its own shape."""

Source: TypeAlias = Any
"""What a split is made of: tensors, arrays, a data set, a loader, ... (see :meth:`lossatlas.Split.of`), or a split."""
