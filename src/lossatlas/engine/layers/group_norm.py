"""Normalisation by groups of channels, for many networks: one scale and one shift per example and channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_batchedtensor
from torch.nn import functional

from lossatlas.engine.layer import Layer, Made, Rule, apply, scale_and_shift, shape_per_channel

__all__ = ["GroupNorm"]


class GroupNorm(Layer):
    """``y = a x + s`` with a = weight / sqrt(variance + eps) and s = bias - a mean (Wu & He 2018, arXiv 1803.08494).

    Mean and variance are those of a group of channels of an example, computed in 32 bits or more. Images are left with
    channels last in memory, where torch's function copies them.
    """

    function = staticmethod(functional.group_norm)
    has_parameters = False
    """False, since torch's function does not support channels-last images under ``vmap``, with or without weights."""

    def call(
        self,
        made: Made,
        input: Tensor,  # noqa: A002, torch's name
        num_groups: int,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Tensor | None:
        if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups or not input[:1].numel():
            return None  # torch says what is wrong with it
        if input.shape[0] * input[0].numel() == num_groups:
            return None  # torch refuses one value per group
        if not any(value is not None and is_batchedtensor(value) for value in (input, weight, bias)):
            return None  # all networks share it
        return apply(_Stacked, input, num_groups, weight, bias, eps)


class _Stacked(Rule):
    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        x: Tensor,
        groups: int,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> tuple[Tensor, int]:
        features = x[None] if in_dims[0] is None else x.movedim(in_dims[0], 0)
        wide = features if features.dtype == torch.float64 else features.float()
        grouped = wide.unflatten(2, (groups, -1))  # type: ignore[no-untyped-call]
        moments = torch.var_mean(grouped, dim=list(range(3, grouped.ndim)), correction=0)
        width, shape = features.shape[2] // groups, (*features.shape[:3], *(1 for _ in features.shape[3:]))
        spread, centre = (each.repeat_interleave(width, dim=2).reshape(shape) for each in moments)
        scale = None if weight is None else shape_per_channel(weight, in_dims[2], features)
        shift = None if bias is None else shape_per_channel(bias, in_dims[3], features)
        result = scale_and_shift(features, centre, spread, scale, shift, eps)
        return result.expand(info.batch_size, *result.shape[1:]), 0
