"""Convolutions of many networks: unfolded images times kernels, without grouped convolutions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.modules.utils import _pair

from lossatlas.engine.layer import Layer, Made, Rule, apply, cast_for_autocast, combine_layers, pays, stack

__all__ = ["Conv2d"]


class Conv2d(Layer):
    """For all networks at once: patches of the images (p, B h w, k k c) times kernels (p, k k c, o).

    Images are stored with channels last, (p, B, h, w, c), so that a row of patches is k runs of k c numbers. For images
    that all networks share, the results are combinations of those of the m controls. Convolutions with groups,
    dilation or named padding are left to torch.
    """

    function = staticmethod(functional.conv2d)

    def call(
        self,
        made: Made,
        input: Tensor,  # noqa: A002, torch's name
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor | None:
        if groups != 1 or isinstance(padding, str) or _both(dilation) != (1, 1) or input.ndim != 4:
            return None
        return apply(_Stacked, input, weight, bias, _both(stride), _both(padding), *made.of(weight, bias))


def _both(setting: Any) -> tuple[int, int]:
    """A setting of both axes; torch takes one number in a tuple, too."""
    first, *rest = _pair(setting)
    return first, rest[0] if rest else first


class _Stacked(Rule):
    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
        coefficients: Tensor | None,
        weights: Tensor | None,
        biases: Tensor | None,
    ) -> tuple[Tensor, int]:
        def products(images: Tensor, kernels: Tensor, biases: Tensor | None) -> Tensor:
            return _products(images, kernels, biases, stride, padding)

        # (q, B, c, h, w), where q is 1 for images that all networks share: their patches are made once.
        images = x[None] if in_dims[0] is None else x.movedim(in_dims[0], 0)
        if coefficients is not None and weights is not None and pays(info, in_dims, weights):
            return combine_layers(coefficients, products, images, weights, biases).permute(0, 1, 4, 2, 3), 0
        bias = None if bias is None else stack(bias, in_dims[2], info)
        return products(images, stack(weight, in_dims[1], info), bias).permute(0, 1, 4, 2, 3), 0


def _products(
    images: Tensor, kernels: Tensor, biases: Tensor | None, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """(q, B, h', w', o) of images (q or 1, B, c, h, w), kernels (q, o, c, k, l) and biases (q, o)."""
    count, outputs, _, *size = kernels.shape
    images, kernels = cast_for_autocast(images, kernels)
    patches = apply(_Patches, images.permute(0, 1, 3, 4, 2), tuple(size), stride, padding)
    rows = patches.flatten(1, 3).flatten(2).expand(count, -1, -1)
    matrices = kernels.permute(0, 3, 4, 2, 1).reshape(count, -1, outputs)
    if biases is None:
        products = torch.bmm(rows, matrices)
    else:
        products = torch.baddbmm(biases[:, None].to(rows.dtype), rows, matrices)
    return products.view(count, *patches.shape[1:4], outputs)


class _Patches(torch.autograd.Function):
    """Patches (q, B, h', w', k, l, c) of images (q, B, h, w, c), padded with zeros; and images from patches.

    The two are each other's transposes, so each is the other's derivative, of any order.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, size: Any, stride: Any, padding: Any) -> Tensor:
        ctx.settings = images.shape[2:4], size, stride, padding
        if size == (1, 1) and stride == (1, 1) and padding == (0, 0):
            return images[..., None, None, :].contiguous()
        padded = functional.pad(images, (0, 0, padding[1], padding[1], padding[0], padding[0]))
        windows = padded.unfold(2, size[0], stride[0]).unfold(3, size[1], stride[1])
        return windows.permute(0, 1, 2, 3, 5, 6, 4).contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return apply(_FromPatches, gradient, *ctx.settings), None, None, None


class _FromPatches(torch.autograd.Function):
    """The transpose of :class:`_Patches`: every patch is added where it was taken from."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor, shape: Any, size: Any, stride: Any, padding: Any) -> Tensor:
        ctx.settings = size, stride, padding
        (height, width), (rows, columns) = shape, patches.shape[2:4]
        wide = torch.promote_types(patches.dtype, torch.float32)  # sums of many terms
        padded = patches.new_zeros(
            *patches.shape[:2], height + 2 * padding[0], width + 2 * padding[1], patches.shape[-1], dtype=wide
        )
        for i in range(size[0]):
            for j in range(size[1]):
                down = slice(i, i + stride[0] * (rows - 1) + 1, stride[0])
                right = slice(j, j + stride[1] * (columns - 1) + 1, stride[1])
                padded[:, :, down, right] += patches[..., i, j, :]
        return padded[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width].to(patches.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return apply(_Patches, gradient, *ctx.settings), None, None, None, None
