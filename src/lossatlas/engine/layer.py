"""Layers of many networks at once: rules that stand in for single functions of torch under ``vmap``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lossatlas.engine.precisions import allow_tensor_float
from lossatlas.registry import Registry
from lossatlas.types import Params

__all__ = [
    "LAYERS",
    "Layer",
    "Made",
    "Rule",
    "StackedLayers",
    "apply",
    "cast_for_autocast",
    "combine_layers",
    "pays",
    "scale_and_shift",
    "shape_per_channel",
    "stack",
]  # fmt: skip

LAYERS: Registry[type[Layer]] = Registry("layer", "lossatlas.engine.layers")


class Layer(ABC):
    """A function of torch with weights, for p networks at once."""

    function: Callable[..., Tensor]
    """The function of torch that it stands in for."""
    has_parameters: bool = True
    """Whether it is asked only where one of the arguments is a vectorised parameter."""

    @abstractmethod
    def call(self, made: Made, *args: Any, **kwargs: Any) -> Tensor | None:
        """The same, for vectorised arguments; None where this call is left to torch.

        Args:
            made: what parameters among the arguments are made of.
            args: the function's.
            kwargs: the function's.
        """


class Made:
    """What vectorised parameters are made of; parameters are recognised by identity."""

    def __init__(self, params: Params, coefficients: Tensor, controls: Params) -> None:
        self._coefficients = coefficients
        self._controls = {id(params[name]): values for name, values in controls.items()}

    def of(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Coefficients (m,) of this point, weights (m, *shape) and biases (m, o) of the controls; or nothing."""
        weights = self._controls.get(id(weight))
        biases = None if bias is None else self._controls.get(id(bias))
        if weights is None or (bias is not None and biases is None):
            return None, None, None
        return self._coefficients, weights, biases


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


def apply(function: type[torch.autograd.Function], *args: Any) -> Tensor:
    """The function's value, typed."""
    result: Tensor = function.apply(*args)  # type: ignore[no-untyped-call]
    return result


def stack(value: Tensor, axis: int | None, info: Any) -> Tensor:
    """What a rule is given for one argument, with the networks in dimension 0."""
    return value.expand(info.batch_size, *value.shape) if axis is None else value.movedim(axis, 0)


OVERHEAD = 2.0
"""What a product at the controls costs beside one of all points: its values are written, read again and combined."""


def pays(info: Any, in_dims: tuple[int | None, ...], weights: Tensor) -> bool:
    """Whether a layer, its input in front, costs less at the controls: all share the input, and controls are few.

    A value of the layer is a sum of i products at each of p points; or at each of m controls, and then m more a point.

    Args:
        info: as a rule is given it.
        in_dims: likewise.
        weights: (m, o, ...), those of the controls, i numbers in ``...``.
    """
    points, controls, inputs = info.batch_size, len(weights), weights[0, 0].numel()
    return in_dims[0] is None and OVERHEAD * controls * (points + inputs) <= points * inputs


def combine_layers(coefficients: Tensor, layer: Callable[..., Tensor], *args: Tensor | None) -> Tensor:
    """A layer at p points from its values at m controls: it is linear in its weights, and its input is shared.

    In full precision: coefficients or values that were rounded would move whole networks.

    Args:
        coefficients: (p, m).
        layer: from the arguments to its values (m, ...) at the controls.
        args: shared input, and the controls' weights and biases.

    Returns:
        (p, ...), in the numbers that ``layer`` gives where it stands.
    """
    device = coefficients.device.type
    kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    full = [None if arg is None else arg.to(coefficients.dtype) for arg in args]
    with torch.autocast(device, enabled=False), allow_tensor_float(False):
        values = layer(*full)
        result = (coefficients @ values.flatten(1)).view(-1, *values.shape[1:])
    return result if kind is None or result.dtype != torch.float32 else result.to(kind)


def shape_per_channel(value: Tensor, axis: int | None, features: Tensor) -> Tensor:
    """What a rule is given for each channel, as (p or 1, 1, c, 1, ...): it goes with features (q, B, c, ...)."""
    ends = (1 for _ in features.shape[3:])
    return (value if axis is None else value.movedim(axis, 0)).reshape(-1, 1, features.shape[2], *ends)


def scale_and_shift(
    features: Tensor, centre: Tensor, spread: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """``(features - centre) / sqrt(spread + eps) * weight + bias``, as one scale and one shift.

    In their numbers, not those of the features: far from zero, their rounding would be the larger part of the result.

    Args:
        features: (q, B, c, ...).
        centre: means, of a shape that goes with that of the features.
        spread: variances, likewise.
        weight: likewise, or none.
        bias: likewise, or none.
        eps: that is added to variances.
    """
    scale = (spread + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -scale * centre
    if bias is not None:
        shift = shift + bias
    return torch.addcmul(shift, features.to(shift.dtype), scale).to(features.dtype)


class StackedLayers(TorchFunctionMode):
    """While entered, layers are computed by their rules wherever they take one of the vectorised parameters.

    Parameters are recognised by identity. Layers whose weights a module computes from its parameters are left to torch.

    Args:
        params: of one network, vectorised.
        coefficients: (m,) of its point, vectorised; with ``controls`` what the parameters are made of.
        controls: (m, *shape), the same for all networks; empty where parameters are made of nothing.
    """

    def __init__(self, params: Params, coefficients: Tensor, controls: Params) -> None:
        super().__init__()
        self._weights = {id(weight) for weight in params.values()}
        self._made = Made(params, coefficients, controls)
        self._layers = _by_function()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        layer = self._layers.get(func)
        if layer is not None and (not layer.has_parameters or self._vectorised(args, kwargs)):
            found = layer.call(self._made, *args, **kwargs)
            if found is not None:
                return found
        return func(*args, **kwargs)

    def _vectorised(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        return any(id(value) in self._weights for value in (*args, *kwargs.values()))


@cache
def _by_function() -> Mapping[object, Layer]:
    return {LAYERS[name].function: LAYERS[name]() for name in LAYERS}


def cast_for_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in the numbers that autocast would form a product in, before they are unfolded to many."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    kind = torch.get_autocast_dtype(device)
    return tuple(tensor.to(kind) if tensor.dtype == torch.float32 else tensor for tensor in tensors)
