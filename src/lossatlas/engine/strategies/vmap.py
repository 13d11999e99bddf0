"""All networks at once through ``torch.vmap``: batched products for linear layers, the strategy for GPUs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.func import vmap

from lossatlas.engine.network import Network
from lossatlas.engine.private import drop_graph, force_plain_attention
from lossatlas.engine.strategy import (
    Gradients,
    Points,
    Strategy,
    Term,
    apply_hessian,
    derive_slopes,
    make_leaves,
)
from lossatlas.types import Batch, Outputs, Params

__all__ = ["Vmap"]


class Vmap(Strategy):
    """One vectorised call for all points; the module must not have control flow that depends on values."""

    rank = 3
    stacks_points = True

    def each_point(self, function: Callable[[Params], Params], params: Params) -> Params:
        result: Params = vmap(function)(params)
        return result

    def forward(self, network: Network, points: Points, batch: Batch) -> tuple[Outputs, Tensor]:
        with network.calling():
            return drop_graph(self._all(network, points, batch))

    def pullback(self, network: Network, points: Points, batch: Batch, term: Term) -> Gradients:
        params = make_leaves(points.params, network.varied)
        controls = make_leaves(points.controls, network.varied)
        coefficients = points.coefficients.detach().requires_grad_(points.coefficients.requires_grad)
        outputs, losses = self._all(network, Points(params, coefficients, controls), batch)
        value = term(outputs, losses, slice(0, len(losses)))
        by_params, by_controls, by_coefficients = derive_slopes(value, params, controls, {"all": coefficients})
        return Gradients(
            {
                name: torch.zeros_like(params[name]) if piece is None else piece
                for name, piece in by_params.items()
                if piece is not None or by_controls.get(name) is None
            },
            value.detach(),
            *drop_graph((outputs, losses)),
            {name: piece for name, piece in by_controls.items() if piece is not None},
            by_coefficients.get("all"),
        )

    def hessian_product(self, network: Network, points: Points, vectors: Params, batch: Batch, term: Term) -> Params:
        params = make_leaves(points.params, network.varied)
        outputs, losses = self._all(network, Points(params, points.coefficients, {}), batch)
        return apply_hessian(term(outputs, losses, slice(0, len(losses))), params, vectors)

    def layers(self, params: Params, coefficients: Tensor, controls: Params) -> AbstractContextManager[object]:
        """A context for the call of one network with vectorised tensors, which represent those of all networks."""
        return nullcontext()

    def _all(self, network: Network, points: Points, batch: Batch) -> tuple[Outputs, Tensor]:
        def one(params: Params, coefficients: Tensor) -> tuple[Outputs, Tensor]:
            with self.layers(params, coefficients, points.controls):
                return network(params, batch)

        with force_plain_attention():
            result: tuple[Outputs, Tensor] = vmap(one)(points.params, points.coefficients)
        return result
