"""Linear layers of many networks: one batched product with its bias."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lossatlas.engine.layer import Layer, Rule, applied, stacked

__all__ = ["Linear"]


class Linear(Layer):
    """``y[p] = x[p] W[p]^T + b[p]`` for all networks p in one product."""

    function = staticmethod(functional.linear)

    def call(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:  # noqa: A002, torch's name
        return applied(_Stacked, input, weight, bias)


class _Stacked(Rule):
    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], x: Tensor, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, int]:
        inputs, weights = stacked(x, in_dims[0], info), stacked(weight, in_dims[1], info)
        rows = inputs.flatten(1, -2) if inputs.ndim > 2 else inputs[:, None]
        if bias is None:
            products = torch.bmm(rows, weights.mT)
        else:
            products = torch.baddbmm(stacked(bias, in_dims[2], info)[:, None], rows, weights.mT)
        return products.view(*inputs.shape[:-1], weights.shape[-2]), 0
