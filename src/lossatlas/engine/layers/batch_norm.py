"""Normalisation of many networks: one scale and one shift per channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lossatlas.engine.layer import Layer, Made, Rule, apply, scale_and_shift, shape_per_channel

__all__ = ["BatchNorm"]


class BatchNorm(Layer):
    """``y = a x + s`` with a = weight / sqrt(variance + eps) and s = bias - a mean, per network and channel.

    Mean and variance are given, or those of the batch, computed in 32 bits or more.
    """

    function = staticmethod(functional.batch_norm)

    def call(
        self,
        made: Made,
        input: Tensor,  # noqa: A002, torch's name
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor | None:
        if training != (running_mean is None):
            return (
                None  # running statistics would have to be written, or there are none: torch says what it makes of it
            )
        if training and input.numel() == input.shape[1]:
            return None  # torch refuses one value per channel
        return apply(_Stacked, input, running_mean, running_var, weight, bias, eps)


class _Stacked(Rule):
    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        x: Tensor,
        mean: Tensor | None,
        variance: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> tuple[Tensor, int]:
        features = x[None] if in_dims[0] is None else x.movedim(in_dims[0], 0)
        if mean is None or variance is None:
            rest = [axis for axis in range(1, features.ndim) if axis != 2]
            wide = features if features.dtype == torch.float64 else features.float()
            spread, centre = torch.var_mean(wide, dim=rest, correction=0, keepdim=True)
        else:
            spread, centre = (
                shape_per_channel(variance, in_dims[2], features),
                shape_per_channel(mean, in_dims[1], features),
            )
        scale = None if weight is None else shape_per_channel(weight, in_dims[3], features)
        shift = None if bias is None else shape_per_channel(bias, in_dims[4], features)
        result = scale_and_shift(features, centre, spread, scale, shift, eps)
        return result.expand(info.batch_size, *result.shape[1:]), 0
