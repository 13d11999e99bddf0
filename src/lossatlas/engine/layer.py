"""Layers of many networks at once: rules that replace single functions of torch under ``vmap``."""

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
    """The function of torch that the rule replaces."""
    has_parameters: bool = True
    """Whether the rule applies only if an argument is a vectorised parameter."""

    @abstractmethod
    def call(self, made: Made, *args: Any, **kwargs: Any) -> Tensor | None:
        """Compute the function for vectorised arguments; None to leave the call to torch.

        Args:
            made: the coefficients and controls of parameters among the arguments.
            args: the positional arguments of the function.
            kwargs: the keyword arguments of the function.
        """


class Made:
    """The coefficients and controls of vectorised parameters, which are recognised by identity."""

    def __init__(self, params: Params, coefficients: Tensor, controls: Params) -> None:
        self._coefficients = coefficients
        self._controls = {id(params[name]): values for name, values in controls.items()}

    def of(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Find the coefficients (m,) of the point, and weights (m, *shape) and biases (m, o) of the controls."""
        weights = self._controls.get(id(weight))
        biases = None if bias is None else self._controls.get(id(bias))
        if weights is None or (bias is not None and biases is None):
            return None, None, None
        return self._coefficients, weights, biases


class Rule(torch.autograd.Function):
    """A function with a rule for ``vmap`` alone, which subclasses define by operations that torch differentiates.

    See "Extending torch.func with autograd.Function" in torch's documentation for the arguments of the rule.
    """

    @staticmethod
    def forward(*_: Any) -> Tensor:
        raise AssertionError("called for vectorised arguments alone")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Save nothing, since torch differentiates the rule itself."""


def apply(function: type[torch.autograd.Function], *args: Any) -> Tensor:
    """Apply a function, with a typed result."""
    result: Tensor = function.apply(*args)  # type: ignore[no-untyped-call]
    return result


def stack(value: Tensor, axis: int | None, info: Any) -> Tensor:
    """Bring an argument of a rule into the form with the networks along the first axis."""
    return value.expand(info.batch_size, *value.shape) if axis is None else value.movedim(axis, 0)


OVERHEAD = 2.0
"""The cost of a product at the controls relative to one at points: its values are written, read and combined."""


def pays(info: Any, in_dims: tuple[int | None, ...], weights: Tensor) -> bool:
    """Whether a layer costs less at the controls than at the points, because the input is shared and controls are few.

    A value of the layer takes i products at each of p points; or i at each of m controls, and then m at each point.

    Args:
        info: the argument of a rule for ``vmap``.
        in_dims: likewise; the input of the layer comes first.
        weights: the weights of the controls, (m, o, ...), with i numbers in ``...``.
    """
    points, controls, inputs = info.batch_size, len(weights), weights[0, 0].numel()
    return in_dims[0] is None and OVERHEAD * controls * (points + inputs) <= points * inputs


def combine_layers(coefficients: Tensor, layer: Callable[..., Tensor], *args: Tensor | None) -> Tensor:
    """Compute a layer at p points from its values at m controls, as it is linear in its weights for a shared input.

    In full precision, since rounding coefficients or values would move whole networks.

    Args:
        coefficients: (p, m).
        layer: computes the values (m, ...) at the controls from the arguments.
        args: the shared input, and the weights and biases of the controls.

    Returns:
        (p, ...), in the dtype of the values of ``layer``.
    """
    device = coefficients.device.type
    kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    full = [None if arg is None else arg.to(coefficients.dtype) for arg in args]
    with torch.autocast(device, enabled=False), allow_tensor_float(False):
        values = layer(*full)
        result = (coefficients @ values.flatten(1)).view(-1, *values.shape[1:])
    return result if kind is None or result.dtype != torch.float32 else result.to(kind)


def shape_per_channel(value: Tensor, axis: int | None, features: Tensor) -> Tensor:
    """Reshape a per-channel argument of a rule to (p or 1, 1, c, 1, ...), to broadcast with features (q, B, c, ...)."""
    ends = (1 for _ in features.shape[3:])
    return (value if axis is None else value.movedim(axis, 0)).reshape(-1, 1, features.shape[2], *ends)


def scale_and_shift(
    features: Tensor, centre: Tensor, spread: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Compute ``(features - centre) / sqrt(spread + eps) * weight + bias`` as one scale and one shift.

    In the dtype of the statistics and not of the features, whose rounding error would dominate far from zero.

    Args:
        features: (q, B, c, ...).
        centre: the means, of a shape that broadcasts with the features.
        spread: the variances, likewise.
        weight: the factors, likewise; or None.
        bias: the summands, likewise; or None.
        eps: added to the variances.
    """
    scale = (spread + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -scale * centre
    if bias is not None:
        shift = shift + bias
    return torch.addcmul(shift, features.to(shift.dtype), scale).to(features.dtype)


class StackedLayers(TorchFunctionMode):
    """While entered, layers with vectorised parameters are computed by their rules.

    Parameters are recognised by identity. Layers whose weights a module computes from its parameters are left to torch.

    Args:
        params: the parameters of one network, vectorised.
        coefficients: the coefficients (m,) of its point, vectorised.
        controls: the controls (m, *shape), the same for all networks; empty if derivatives at the points are needed.
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
    """Cast tensors to the dtype in which autocast would compute a product, before they are unfolded."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    kind = torch.get_autocast_dtype(device)
    return tuple(tensor.to(kind) if tensor.dtype == torch.float32 else tensor for tensor in tensors)
