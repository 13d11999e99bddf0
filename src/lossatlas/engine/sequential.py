"""Merged layers of an ``nn.Sequential``, which read and write activations less often.

A convolution often takes little more time than the layers after it: normalisation, ReLU and pooling each read and write
all activations again. In an ``nn.Sequential`` the order of layers is known, and intermediate results are not used
elsewhere, so that there

- a normalisation by given statistics is folded into the kernels of the convolution, if no gradient is needed;
- a ReLU before max-pooling is applied to the pooled result, and any other ReLU in place;
- 2 x 2 max-pooling is done by rows and then by columns if no gradient is needed, as torch's function keeps indices;
- average pooling to a few pixels is differentiated by one product, as torch's backward pass is ten times slower.

Values are those of the single layers, NaN and infinity included, except for the folded normalisation: its values are
rounded differently, and finite where only the convolution by itself would have overflowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import _has_any_global_hook
from torch.nn.modules.utils import _pair

from lossatlas.engine.layer import apply
from lossatlas.engine.private import copy_shared

__all__ = ["merge_layers"]

SITES = 2**14
"""The largest size of the matrix by which average pooling is done."""
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def merge_layers(module: nn.Module) -> nn.Module | None:
    """Copy a module so that each ``nn.Sequential`` calls its layers merged; None if there is nothing to merge.

    Parameters and buffers are those of the module, under the same names. A subclass keeps its own ``forward``; only
    its calls of ``super().forward`` are merged. Layers with hooks, changed layers and those of other types are called
    as they are.
    """
    found = [part for part in module.modules() if isinstance(part, nn.Sequential) and _can_merge(list(_flat(part)))]
    if not found or _has_any_global_hook():  # type: ignore[no-untyped-call]
        return None
    twin = copy_shared(module)
    rows = [part for part in twin.modules() if isinstance(part, nn.Sequential) and "forward" not in vars(part)]
    classes = {kind: _merged_class(kind) for kind in {type(part) for part in rows} if kind is not nn.Sequential}
    for part in rows:
        if type(part) is nn.Sequential:  # and stays one, for code that asks for its type
            part.forward = MethodType(_Merged.forward, part)  # type: ignore[method-assign]
        else:
            part.__class__ = classes[type(part)]
    return twin


def _merged_class(kind: type[nn.Sequential]) -> type[nn.Sequential]:
    """The class with :class:`_Merged` right before ``nn.Sequential`` among those that it inherits from."""
    # Code that registers subclasses when they are made might take this one for the user's.
    told = any("__init_subclass__" in vars(base) for base in kind.__mro__ if base is not object)
    return kind if told or type(kind) is not type else type(kind.__name__, (kind, _Merged), {})


class _Merged(nn.Sequential):
    """The same layers, merged where results do not change."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, torch's name
        x, layers = input, list(_flat(self))
        ours = after_relu = False
        """Whether x was computed here, so that it may be changed; and whether by a ReLU, which keeps its result."""
        while layers:
            first, *layers = layers
            if _is(first, nn.Conv2d):
                x, folded = _convolved(x, first, _next(layers, nn.BatchNorm2d))
                layers, ours, after_relu = layers[folded:], True, False
            elif after_relu and _is(first, nn.ReLU):
                continue
            elif ours and _is(first, nn.ReLU):
                pool = _next(layers, nn.MaxPool2d)
                if pool is not None and _has_no_empty_window(pool):
                    x, layers = _pooled(x, pool), layers[1:]
                x, after_relu = x.relu_(), True
            elif ours and _is(first, nn.MaxPool2d) and not first.return_indices:
                x, after_relu = _pooled(x, first), after_relu and _has_no_empty_window(first)
            elif _is(first, nn.AdaptiveAvgPool2d) and torch.is_grad_enabled():
                x, ours, after_relu = _averaged(x, first), False, False
            else:
                x, ours, after_relu = first(x), _is(first, nn.BatchNorm2d), False
        return x


def _flat(row: nn.Module) -> Iterator[Any]:
    """The layers in the order of their calls, without those that do nothing."""
    for layer in row._modules.values():  # children() yields repeated layers only once
        if type(layer) is nn.Sequential and _is_untouched(layer):
            yield from _flat(layer)
        elif not _is(layer, nn.Identity):
            yield layer


def _can_merge(row: Sequence[Any]) -> bool:
    """Whether there is anything to merge."""
    return any(
        (_is(first, nn.Conv2d) and _is(second, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d))
        or (_is(first, nn.BatchNorm2d) and _is(second, nn.ReLU, nn.MaxPool2d))
        for first, second in pairwise(row)
    )


def _is(layer: Any, *kinds: type[nn.Module]) -> bool:
    """Whether a layer is of exactly one of these types of torch."""
    return type(layer) in kinds and _is_untouched(layer)


def _is_untouched(layer: nn.Module) -> bool:
    """Whether a layer has neither hooks nor another forward pass."""
    own = vars(layer).get("forward")
    ours = isinstance(own, MethodType) and own.__func__ is _Merged.forward
    return (own is None or ours) and not any(vars(layer).get(hooks) for hooks in HOOKS)


def _next(layers: Sequence[Any], kind: type[nn.Module]) -> Any:
    """The first layer, if it is of this type."""
    return layers[0] if layers and _is(layers[0], kind) else None


def _convolved(x: Tensor, layer: Any, norm: Any) -> tuple[Tensor, bool]:
    """The values of a convolution, and whether they include the normalisation that follows."""
    kernels, biases = layer.weight, layer.bias
    if norm is not None and not torch.is_grad_enabled() and not norm.training and _fits(norm, kernels):
        scale = (norm.running_var + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight
        shift = -norm.running_mean if biases is None else biases - norm.running_mean
        shift = shift * scale if norm.bias is None else norm.bias + shift * scale
        scaled = kernels * scale.view(-1, 1, 1, 1)
        # Infinite factors do not distribute over sums with zeros of the image. Checking would stall a GPU; there a
        # whole channel becomes NaN of which single layers would make infinity in some pixels.
        if x.device.type != "cpu" or bool(scaled.isfinite().all() & shift.isfinite().all()):
            return layer._conv_forward(x, scaled, shift), True
    return layer._conv_forward(x, kernels, biases), False


def _fits(norm: Any, kernels: Tensor) -> bool:
    return norm.running_var is not None and norm.running_var.shape == kernels.shape[:1]


def _has_no_empty_window(pool: Any) -> bool:
    """Whether each window of max-pooling has an entry that is not padding, so that it commutes with ReLU."""
    return not pool.return_indices and set(_pair(pool.dilation)) == {1}


def _pooled(x: Tensor, pool: Any) -> Any:
    if torch.is_grad_enabled() or not _is_two_by_two(pool, x.shape):
        return pool(x)
    height, width = (side - side % 2 for side in x.shape[-2:])
    rows = torch.maximum(x[..., 0:height:2, :width], x[..., 1:height:2, :width])
    return torch.maximum(rows[..., 0::2], rows[..., 1::2])


def _averaged(x: Tensor, pool: Any) -> Any:
    height, width = (
        side if side is not None else of for side, of in zip(_pair(pool.output_size), x.shape[-2:], strict=True)
    )
    few = x.ndim == 4 and height * width > 1 and height * width * x.shape[2] * x.shape[3] <= SITES
    return apply(_Averaged, x, (height, width)) if few else pool(x)


class _Averaged(torch.autograd.Function):
    """Average pooling of images (B, c, h, w) to any size, with its derivative, which is linear."""

    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor, size: tuple[int, int]) -> Tensor:
        return functional.adaptive_avg_pool2d(images, size)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:  # noqa: ARG004, torch's names
        images, ctx.size = inputs
        ctx.shape = images.shape[-2:]

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return functional.adaptive_avg_pool2d(tangent, ctx.size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows, columns = (
            functional.adaptive_avg_pool1d(torch.eye(side, dtype=gradient.dtype, device=gradient.device), parts)
            for side, parts in zip(ctx.shape, ctx.size, strict=True)
        )
        back = gradient.flatten(2) @ torch.kron(rows, columns).T
        return back.view(*gradient.shape[:2], *ctx.shape), None


def _is_two_by_two(pool: Any, shape: Sequence[int]) -> bool:
    """Whether max-pooling has 2 x 2 windows that do not overlap."""
    stated = [_pair(setting) for setting in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)]
    plain = [tuple(pair) for pair in stated] == [(2, 2), (2, 2), (0, 0), (1, 1)]
    whole = not pool.ceil_mode or not any(side % 2 for side in shape[-2:])
    return plain and whole and min(shape[-2:]) > 1 and not pool.return_indices
