"""One network after the other, images with channels last: the strategy for convolutions on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from lossatlas.engine.network import Network
from lossatlas.engine.strategy import Gradients, Strategy, Term
from lossatlas.types import Batch, Outputs, Params

__all__ = ["Loop"]


class Loop(Strategy):
    """A functional call per point. Any module that can be called can be looped over."""

    stacks_points = False

    def forward(self, network: Network, weights: Tensor, batch: Batch) -> tuple[Outputs, Tensor]:
        batch = _channels_last(batch)
        with torch.no_grad():
            results = [network(network.space.unflatten(point), batch) for point in weights]
        return _stack([outputs for outputs, _ in results]), torch.stack([losses for _, losses in results])

    def pullback(self, network: Network, weights: Tensor, batch: Batch, term: Term) -> Gradients:
        batch = _channels_last(batch)
        gradients, value = torch.empty_like(weights), weights.new_zeros(())
        all_outputs, all_losses = [], []
        for i, point in enumerate(weights):
            params = _leaves(network, point)
            outputs, losses = network(params, batch)
            share = term(tree_map(lambda leaf: leaf[None], outputs), losses[None], slice(i, i + 1))
            _gather(share, params, gradients[i])
            value += share.detach()
            all_outputs.append(tree_map(torch.Tensor.detach, outputs))
            all_losses.append(losses.detach())
        return Gradients(gradients, value, _stack(all_outputs), torch.stack(all_losses))

    def hessian_product(self, network: Network, weights: Tensor, vectors: Tensor, batch: Batch) -> Tensor:
        products = torch.empty_like(weights)
        for point, vector, product in zip(weights, vectors, products, strict=True):
            params = _leaves(network, point)
            _, losses = network(params, batch)
            slope = torch.autograd.grad(losses.sum(), list(params.values()), create_graph=True, materialize_grads=True)
            along = sum((g * v).sum() for g, v in zip(slope, network.space.unflatten(vector).values(), strict=True))
            _gather(along, params, product)
        return products


def _leaves(network: Network, point: Tensor) -> Params:
    return {name: view.detach().requires_grad_() for name, view in network.space.unflatten(point).items()}


def _gather(scalar: Tensor | int, params: Params, into: Tensor) -> None:
    """Write the gradient of a scalar into a vector (n,); zero where the scalar does not depend on the params."""
    if not isinstance(scalar, Tensor) or not scalar.requires_grad:
        into.zero_()
        return
    pieces = torch.autograd.grad(scalar, list(params.values()), materialize_grads=True)
    torch.cat([piece.reshape(-1) for piece in pieces], out=into)


def _stack(per_point: list[Outputs]) -> Outputs:
    return tree_map(lambda *leaves: torch.stack(leaves), per_point[0], *per_point[1:])


def _channels_last(batch: Batch) -> Batch:
    def convert(leaf: Tensor) -> Tensor:
        return leaf.contiguous(memory_format=torch.channels_last) if leaf.ndim == 4 else leaf

    return tree_map(convert, batch)
