"""All networks at once through ``torch.vmap``: batched products for linear layers, the strategy for GPUs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from lossatlas.engine.network import Network
from lossatlas.engine.strategy import Gradients, Strategy, Term, curvature, gradient, leaves, plain_attention
from lossatlas.types import Batch, Outputs, Params

__all__ = ["Vmap"]


class Vmap(Strategy):
    """One vectorised call for all points; the module must be free of control flow that depends on values."""

    stacks_points = True

    def each_point(self, function: Callable[[Params], Params], params: Params) -> Params:
        result: Params = vmap(function)(params)
        return result

    def forward(self, network: Network, params: Params, batch: Batch) -> tuple[Outputs, Tensor]:
        with torch.no_grad():
            return self._all(network, params, batch)

    def pullback(self, network: Network, params: Params, batch: Batch, term: Term) -> Gradients:
        params = leaves(params, network.varied)
        outputs, losses = self._all(network, params, batch)
        value = term(outputs, losses, slice(0, len(losses)))
        outputs = tree_map(torch.Tensor.detach, outputs)
        return Gradients(gradient(value, params), value.detach(), outputs, losses.detach())

    def hessian_product(self, network: Network, params: Params, vectors: Params, batch: Batch) -> Params:
        params = leaves(params, network.varied)
        _, losses = self._all(network, params, batch)
        return curvature(losses, params, vectors)

    def one(self, network: Network, params: Params, batch: Batch) -> tuple[Outputs, Tensor]:
        """What is vectorised: one network's call, with tensors that stand for those of all."""
        return network(params, batch)

    def _all(self, network: Network, params: Params, batch: Batch) -> tuple[Outputs, Tensor]:
        def one(point: Params) -> tuple[Outputs, Tensor]:
            return self.one(network, point, batch)

        with plain_attention():
            result: tuple[Outputs, Tensor] = vmap(one)(params)
        return result
