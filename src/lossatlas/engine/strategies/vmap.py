"""All networks at once through ``torch.vmap``: batched products for linear layers, the strategy for GPUs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from lossatlas.engine.network import Network
from lossatlas.engine.strategy import Gradients, Strategy, Term
from lossatlas.types import Batch, Outputs, Params

__all__ = ["Vmap"]


class Vmap(Strategy):
    """One vectorised call for all points; the module must be free of control flow that depends on values."""

    stacks_points = True

    def forward(self, network: Network, weights: Tensor, batch: Batch) -> tuple[Outputs, Tensor]:
        with torch.no_grad():
            return self._call(network, network.space.unflatten(weights), batch)

    def pullback(self, network: Network, weights: Tensor, batch: Batch, term: Term) -> Gradients:
        params = _leaves(network, weights)
        outputs, losses = self._call(network, params, batch)
        value = term(outputs, losses, slice(0, len(weights)))
        gradients = _flat_gradient(value, params, weights)
        return Gradients(gradients, value.detach(), tree_map(torch.Tensor.detach, outputs), losses.detach())

    def hessian_product(self, network: Network, weights: Tensor, vectors: Tensor, batch: Batch) -> Tensor:
        params = _leaves(network, weights)
        _, losses = self._call(network, params, batch)
        slope = torch.autograd.grad(losses.sum(), list(params.values()), create_graph=True, materialize_grads=True)
        along = torch.stack(
            [(g * v).sum() for g, v in zip(slope, network.space.unflatten(vectors).values(), strict=True)]
        )
        return _flat_gradient(along.sum(), params, weights)

    @staticmethod
    def _call(network: Network, params: Params, batch: Batch) -> tuple[Outputs, Tensor]:
        def one(point: Params) -> tuple[Outputs, Tensor]:
            return network(point, batch)

        result: tuple[Outputs, Tensor] = vmap(one)(params)
        return result


def _leaves(network: Network, weights: Tensor) -> Params:
    return {name: view.detach().requires_grad_() for name, view in network.space.unflatten(weights).items()}


def _flat_gradient(scalar: Tensor, params: Params, weights: Tensor) -> Tensor:
    """The gradient (p, n) of a scalar; zero where it does not depend on the params."""
    if not scalar.requires_grad:
        return torch.zeros_like(weights)
    pieces = torch.autograd.grad(scalar, list(params.values()), materialize_grads=True)
    return torch.cat([piece.reshape(len(weights), -1) for piece in pieces], dim=1)
