"""Moving examples to the device where they are evaluated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

__all__ = ["move"]


def move(tree: Any, device: torch.device) -> Any:
    """Move tensors to a device; those that are on it are returned themselves.

    From the CPU to a GPU they are copied asynchronously through pinned memory, which torch keeps until the copy is
    done.
    """
    return tree_map(lambda leaf: _moved(leaf, device), tree)


def _moved(leaf: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda" or leaf.device.type != "cpu" or leaf.layout != torch.strided:
        return leaf.to(device)
    return leaf.pin_memory().to(device, non_blocking=True)
