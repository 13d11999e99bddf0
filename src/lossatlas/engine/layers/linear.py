"""Linear layers of many networks: one batched product with its bias."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lossatlas.engine.layer import Layer, Made, Rule, apply, combine_layers, pays, stack

__all__ = ["Linear"]


class Linear(Layer):
    """``y[p] = x[p] W[p]^T + b[p]`` for all networks p in one product.

    Where all share x, ``y[p] = sum_i c[p, i] (x W[i]^T + b[i])`` with the m controls' weights: m products instead of p.
    """

    function = staticmethod(functional.linear)

    def call(self, made: Made, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:  # noqa: A002
        return apply(_Stacked, input, weight, bias, *made.of(weight, bias))


class _Stacked(Rule):
    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        coefficients: Tensor | None,
        weights: Tensor | None,
        biases: Tensor | None,
    ) -> tuple[Tensor, int]:
        if coefficients is not None and weights is not None and pays(info, in_dims, weights):
            return combine_layers(coefficients, _products, x.expand(len(weights), *x.shape), weights, biases), 0
        bias = None if bias is None else stack(bias, in_dims[2], info)
        return _products(stack(x, in_dims[0], info), stack(weight, in_dims[1], info), bias), 0


def _products(inputs: Tensor, weights: Tensor, biases: Tensor | None) -> Tensor:
    """(q, ..., o) of inputs (q, ..., i), weights (q, o, i) and biases (q, o)."""
    rows = inputs.flatten(1, -2) if inputs.ndim > 2 else inputs[:, None]
    products = torch.bmm(rows, weights.mT) if biases is None else torch.baddbmm(biases[:, None], rows, weights.mT)
    return products.view(*inputs.shape[:-1], weights.shape[-2])
