"""Type aliases that several modules share."""

from __future__ import annotations

from typing import Any, TypeAlias

from torch import Tensor

__all__ = ["Batch", "Outputs", "Params", "Source"]

Batch: TypeAlias = Any
"""A pytree of tensors whose first axis is that of the examples: a pair ``(inputs, targets)``, a dict, ..."""

Outputs: TypeAlias = Any
"""What a module returns for a batch: a tensor or a pytree of tensors, examples along the first axis."""

Params: TypeAlias = dict[str, Tensor]
"""Parameters of one network by name, each of its own shape."""

Source: TypeAlias = Any
"""Examples: a split, or anything that :meth:`lossatlas.Split.of` takes: tensors, arrays, a data set, a loader, ..."""
