"""Layers of an ``nn.Sequential`` with fewer passes over memory: what follows a convolution joins it.

A convolution often takes little more time than what comes after it: normalisation, ReLU and pooling each read and write
all activations once more. In an ``nn.Sequential`` it is certain what follows what, and that nobody looks at what
is in between; so there

- a normalisation by given statistics goes into the convolution's kernels, where no gradient is wanted;
- a ReLU before a maximum works on what the maximum leaves, and any other in place;
- a maximum over 2 x 2 is one of rows and then one of columns, where no gradient is wanted: torch's own keeps indices;
- a mean over few places is differentiated by one product: torch's own takes ten times as long backwards as forwards.

Values are those of the layers one after the other, NaN and infinity among them, but for the rounding of the first.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import _has_any_global_hook
from torch.nn.modules.utils import _pair

from lossatlas.engine.layer import applied

__all__ = ["merged"]

PLACES = 2**14
"""Numbers of a matrix that a mean over parts of an image may be."""
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def merged(module: nn.Module) -> nn.Module | None:
    """A copy in which parts that are an ``nn.Sequential`` are called with layers merged; None where there are none.

    Parameters, buffers and layers have the names that they have. A subclass with a ``forward`` of its own keeps it;
    what it has of ``super().forward``, which is its layers one after the other, is merged. Layers that somebody hooks
    into or has changed, and those of other types, are called as they are.
    """
    found = [part for part in module.modules() if isinstance(part, nn.Sequential) and _gains(list(_flat(part)))]
    if not found or _has_any_global_hook():  # type: ignore[no-untyped-call]
        return None
    twin = copy.deepcopy(module)
    rows = [part for part in twin.modules() if isinstance(part, nn.Sequential)]
    classes = {kind: _merged_class(kind) for kind in {type(part) for part in rows}}
    for part in rows:
        part.__class__ = classes[type(part)]
    return twin


def _merged_class(kind: type[nn.Sequential]) -> type[nn.Sequential]:
    """The class with :class:`_Merged` right before ``nn.Sequential`` among those that it inherits from."""
    if kind is nn.Sequential:
        return _Merged
    # Whoever looks at subclasses as they are made might take this one for the user's.
    told = any("__init_subclass__" in vars(base) for base in kind.__mro__ if base is not object)
    return kind if told or type(kind) is not type else type(kind.__name__, (kind, _Merged), {})


class _Merged(nn.Sequential):
    """The same layers, called together where that changes nothing."""

    def forward(self, x: Tensor) -> Tensor:
        layers = list(_flat(self))
        made = False
        """Whether what is at hand was made here, so that nobody else has it."""
        while layers:
            first, *layers = layers
            if _is(first, nn.Conv2d):
                norm = _next(layers, nn.BatchNorm2d)
                x, folded = _convolved(x, first, norm)
                layers, made = layers[folded:], True
            elif made and _is(first, nn.ReLU):
                pool = _next(layers, nn.MaxPool2d)
                if pool is not None and _takes_relu(pool):
                    x, layers = _pooled(x, pool), layers[1:]
                x = x.relu_()
            elif made and _is(first, nn.MaxPool2d):
                x = _pooled(x, first)
            elif _is(first, nn.AdaptiveAvgPool2d) and torch.is_grad_enabled():
                x, made = _averaged(x, first), False
            else:
                x = first(x)
                made = _is(first, nn.BatchNorm2d)
        return x


def _flat(row: nn.Module) -> Iterator[nn.Module]:
    """Layers in the order in which they are called; those that do nothing are left out."""
    for layer in row._modules.values():  # children() has a layer that comes twice once
        assert layer is not None
        if type(layer) in (nn.Sequential, _Merged) and _is_untouched(layer):
            yield from _flat(layer)
        elif not _is(layer, nn.Identity):
            yield layer


def _gains(row: Sequence[nn.Module]) -> bool:
    """Whether there is anything to merge."""
    return any(
        (_is(first, nn.Conv2d) and _is(second, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d))
        or (_is(first, nn.BatchNorm2d) and _is(second, nn.ReLU, nn.MaxPool2d))
        for first, second in pairwise(row)
    )


def _is(layer: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether it is a layer of exactly these kinds, as torch has them."""
    return type(layer) in kinds and _is_untouched(layer)


def _is_untouched(layer: nn.Module) -> bool:
    return "forward" not in vars(layer) and not any(vars(layer).get(hooks) for hooks in HOOKS)


def _next(layers: Sequence[nn.Module], kind: type[nn.Module]) -> Any:
    """The first layer, if it is of this kind."""
    return layers[0] if layers and _is(layers[0], kind) else None


def _convolved(x: Tensor, layer: Any, norm: Any) -> tuple[Tensor, bool]:
    """A convolution's values, and whether the normalisation that follows is done in them."""
    kernels, biases = layer.weight, layer.bias
    if norm is not None and not torch.is_grad_enabled() and not norm.training and _fits(norm, kernels):
        scale = (norm.running_var + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight
        # Infinity times a zero of the image is not what it is times their sum. A GPU would have to wait for the answer;
        # there a whole channel is NaN, which torch makes some of it.
        if x.device.type != "cpu" or bool(scale.isfinite().all()):
            shift = -norm.running_mean if biases is None else biases - norm.running_mean
            shift = shift * scale if norm.bias is None else norm.bias + shift * scale
            return layer._conv_forward(x, kernels * scale.view(-1, 1, 1, 1), shift), True
    return layer._conv_forward(x, kernels, biases), False


def _fits(norm: Any, kernels: Tensor) -> bool:
    return norm.running_var is not None and norm.running_var.shape == kernels.shape[:1]


def _takes_relu(pool: Any) -> bool:
    """Whether a ReLU may follow the maximum: each of its windows has a number that is not padding."""
    return not pool.return_indices and set(_pair(pool.dilation)) == {1}


def _pooled(x: Tensor, pool: Any) -> Any:
    if torch.is_grad_enabled() or not _halves(pool, x.shape):
        return pool(x)
    height, width = (side - side % 2 for side in x.shape[-2:])
    rows = torch.maximum(x[..., 0:height:2, :width], x[..., 1:height:2, :width])
    return torch.maximum(rows[..., 0::2], rows[..., 1::2])


def _averaged(x: Tensor, pool: Any) -> Any:
    height, width = (
        side if side is not None else of for side, of in zip(_pair(pool.output_size), x.shape[-2:], strict=True)
    )
    few = x.ndim == 4 and height * width > 1 and height * width * x.shape[2] * x.shape[3] <= PLACES
    return applied(_Averaged, x, (height, width)) if few else pool(x)


class _Averaged(torch.autograd.Function):
    """Means over parts of images (B, c, h, w), as many as are wanted; and their derivative, which is linear."""

    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor, size: tuple[int, int]) -> Tensor:
        return functional.adaptive_avg_pool2d(images, size)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:  # noqa: ARG004, torch's names
        images, ctx.size = inputs
        ctx.shape = images.shape[-2:]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows, columns = (
            functional.adaptive_avg_pool1d(torch.eye(side, dtype=gradient.dtype), parts)
            for side, parts in zip(ctx.shape, ctx.size, strict=True)
        )
        back = gradient.flatten(2) @ torch.kron(rows, columns).T
        return back.view(*gradient.shape[:2], *ctx.shape), None


def _halves(pool: Any, shape: Sequence[int]) -> bool:
    """Whether a maximum is one over 2 x 2 that do not overlap."""
    stated = [_pair(setting) for setting in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)]
    plain = [tuple(pair) for pair in stated] == [(2, 2), (2, 2), (0, 0), (1, 1)]
    whole = not pool.ceil_mode or not any(side % 2 for side in shape[-2:])
    return plain and whole and min(shape[-2:]) > 1 and not pool.return_indices
