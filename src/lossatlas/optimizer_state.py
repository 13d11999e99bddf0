"""The state of torch's optimisers as named tensors and numbers, for checkpoints."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["load_optimizer_state", "optimizer_state"]

PREFIX = "optimizer."


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What an optimiser remembers of each parameter: tensors, and JSON types; both named ``optimizer.INDEX.NAME``."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            (tensors if isinstance(value, Tensor) else numbers)[f"{PREFIX}{index}.{name}"] = value
    return tensors, numbers


def load_optimizer_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Make an optimiser remember what :func:`optimizer_state` gave of one like it; other names are passed over."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **numbers}.items():
        if key.startswith(PREFIX):
            index, name = key.removeprefix(PREFIX).split(".", 1)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
