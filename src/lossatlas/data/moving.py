"""From where examples are held to where they are evaluated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

__all__ = ["move"]


def move(tree: Any, device: torch.device) -> Any:
    """Tensors on a device: themselves where they are there already.

    From the processor to a GPU they go by way of pinned memory, which the GPU reads on its own, while whoever asked
    goes on; torch keeps that memory until the copy is done.
    """
    return tree_map(lambda leaf: _moved(leaf, device), tree)


def _moved(leaf: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda" or leaf.device.type != "cpu" or leaf.layout != torch.strided:
        return leaf.to(device)
    return leaf.pin_memory().to(device, non_blocking=True)
