"""The state of torch's optimisers as named tensors and numbers, for checkpoints.

Names are ``optimizer.INDEX.NAME``, with the index of the parameter.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["load_optimizer_state", "read_optimizer_state"]

PREFIX = "optimizer."
SIDE = 3
"""The length of each axis of the small parameters on which the form of a state is found out."""


def read_optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state that an optimiser keeps for each parameter: tensors by name, and values of JSON types by name."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            (tensors if isinstance(value, Tensor) else numbers)[f"{PREFIX}{index}.{name}"] = value
    return tensors, numbers


def load_optimizer_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Restore a state that :func:`read_optimizer_state` returned for an equal optimiser; other names are ignored.

    Raises:
        ValueError: this is not the state of such an optimiser for these parameters; names the first difference.
    """
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **numbers}.items():
        if key.startswith(PREFIX):
            index, _, name = key.removeprefix(PREFIX).partition(".")
            if not re.fullmatch("[0-9]{1,9}", index):
                raise ValueError(f"{key!r} is unknown")
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
    """The state of such an optimiser after a step on small parameters of the same ranks."""
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
    """The shape of a state at a parameter, from its shape at a small parameter of the same rank."""
    if len(shape) != len(parameter):
        return tuple(shape)
    return tuple(there if side == SIDE else side for side, there in zip(shape, parameter, strict=True))
