"""The state of torch's optimisers as named tensors and numbers, for checkpoints."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["load_optimizer_state", "read_optimizer_state"]

PREFIX = "optimizer."
SIDE = 3
"""Of small parameters that stand in for others."""


def read_optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What an optimiser remembers of each parameter: tensors, and JSON types; both named ``optimizer.INDEX.NAME``."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            (tensors if isinstance(value, Tensor) else numbers)[f"{PREFIX}{index}.{name}"] = value
    return tensors, numbers


def load_optimizer_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Make an optimiser remember what :func:`read_optimizer_state` gave of one like it; other names are passed over.

    Raises:
        ValueError: it is not what such an optimiser remembers of these parameters; names the first difference.
    """
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **numbers}.items():
        if key.startswith(PREFIX):
            index, _, name = key.removeprefix(PREFIX).partition(".")
            if not re.fullmatch("[0-9]{1,9}", index):
                raise ValueError(f"{key!r} belongs to nothing here")
            state.setdefault(int(index), {})[name] = value
    _check(optimizer, state)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _check(optimizer: torch.optim.Optimizer, state: dict[int, dict[str, Any]]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    usual = _usual(optimizer)
    for index, values in state.items():
        if index >= len(parameters):
            raise ValueError(f"the optimizer remembers parameter {index} of {len(parameters)}")
        named = f"what the optimizer remembers of parameter {index}"
        if values.keys() != usual[index].keys():
            raise ValueError(f"{named} is {', '.join(values) or 'nothing'}; expected {', '.join(usual[index])}")
        for name, value in values.items():
            example = usual[index][name]
            if not isinstance(example, Tensor) or not isinstance(value, Tensor):
                if type(value) is not type(example):
                    raise ValueError(f"{named} has {name} = {value!r}; expected one like {example!r}")
                continue
            shape = _like(example.shape, parameters[index].shape)
            if (tuple(value.shape), value.dtype) != (shape, example.dtype):
                raise ValueError(
                    f"{named} has a {name} of {value.dtype} and shape {tuple(value.shape)}; expected {example.dtype} "
                    f"and shape {shape}"
                )


def _usual(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """What such an optimiser remembers after a step of small parameters with as many dimensions."""
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        small = [nn.Parameter(torch.zeros([SIDE] * old.ndim).to(old)) for old in group["params"]]
        for parameter in small:
            parameter.grad = torch.zeros_like(parameter)
        groups.append({**group, "params": small})
    kind: Any = type(optimizer)
    other = kind(groups)
    other.step()
    return [dict(other.state[parameter]) for group in groups for parameter in group["params"]]


def _like(shape: torch.Size, parameter: torch.Size) -> tuple[int, ...]:
    """The shape at a parameter of what has a shape at a small one."""
    if len(shape) != len(parameter):
        return tuple(shape)
    return tuple(there if side == SIDE else side for side, there in zip(shape, parameter, strict=True))
