"""Layers of many networks at once: rules that stand in for single functions of torch under ``vmap``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lossatlas.registry import Registry

__all__ = ["LAYERS", "Layer", "Rule", "StackedLayers", "applied", "in_autocast", "stacked"]

LAYERS: Registry[type[Layer]] = Registry("layer", "lossatlas.engine.layers")


class Layer(ABC):
    """A function of torch with weights, for p networks at once."""

    function: Callable[..., Tensor]
    """The function of torch that it stands in for."""
    has_parameters: bool = True
    """Whether it is asked only where one of the arguments is a vectorised parameter."""

    @abstractmethod
    def call(self, *args: Any, **kwargs: Any) -> Tensor | None:
        """The same, for vectorised arguments; None where this call is left to torch."""


class Rule(torch.autograd.Function):
    """Nothing but a rule for ``vmap``, a static method that subclasses define by operations that torch differentiates.

    See "Extending torch.func with autograd.Function" in torch's documentation for its arguments.
    """

    @staticmethod
    def forward(*_: Any) -> Tensor:
        raise AssertionError("called for vectorised arguments alone")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept: torch differentiates the rule itself."""


def applied(function: type[torch.autograd.Function], *args: Any) -> Tensor:
    """The function's value, typed."""
    result: Tensor = function.apply(*args)  # type: ignore[no-untyped-call]
    return result


def stacked(value: Tensor, axis: int | None, info: Any) -> Tensor:
    """What a rule is given for one argument, with the networks in dimension 0."""
    return value.expand(info.batch_size, *value.shape) if axis is None else value.movedim(axis, 0)


class StackedLayers(TorchFunctionMode):
    """While entered, layers are computed by their rules wherever they take one of the vectorised parameters.

    Parameters are recognised by identity. Layers whose weights a module computes from its parameters are left to torch.
    """

    def __init__(self, weights: Collection[Tensor]) -> None:
        super().__init__()
        self._weights = {id(weight) for weight in weights}
        self._layers = _by_function()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        layer = self._layers.get(func)
        if layer is not None and (not layer.has_parameters or self._vectorised(args, kwargs)):
            found = layer.call(*args, **kwargs)
            if found is not None:
                return found
        return func(*args, **kwargs)

    def _vectorised(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        return any(id(value) in self._weights for value in (*args, *kwargs.values()))


@cache
def _by_function() -> Mapping[object, Layer]:
    return {LAYERS[name].function: LAYERS[name]() for name in LAYERS}


def in_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in the numbers that autocast would form a product in, before they are unfolded to many."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    kind = torch.get_autocast_dtype(device)
    return tuple(tensor.to(kind) if tensor.dtype == torch.float32 else tensor for tensor in tensors)
