"""One network after the other, images with channels last: the strategy for convolutions on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from lossatlas.engine.network import Network
from lossatlas.engine.strategy import Gradients, Strategy, Term, curvature, gradient, leaves
from lossatlas.types import Batch, Outputs, Params

__all__ = ["Loop"]


class Loop(Strategy):
    """A functional call per point. Any module that can be called can be looped over.

    Modules that cannot take channels-last images (a ``view`` of their features, say) get them as they are.
    """

    stacks_points = False

    def __init__(self) -> None:
        self._reorders: bool | None = None

    def each_point(self, function: Callable[[Params], Params], params: Params) -> Params:
        stacked: Params = _stack([function(point) for point in _points(params)])
        return stacked

    def forward(self, network: Network, params: Params, batch: Batch) -> tuple[Outputs, Tensor]:
        batch = self._ordered(network, params, batch)
        with torch.no_grad():
            results = [network(point, batch) for point in _points(params)]
        return _stack([outputs for outputs, _ in results]), torch.stack([losses for _, losses in results])

    def pullback(self, network: Network, params: Params, batch: Batch, term: Term) -> Gradients:
        batch = self._ordered(network, params, batch)
        gradients, values = [], []
        all_outputs, all_losses = [], []
        for i, point in enumerate(map(leaves, _points(params))):
            outputs, losses = network(point, batch)
            share = term(tree_map(lambda leaf: leaf[None], outputs), losses[None], slice(i, i + 1))
            gradients.append(gradient(share, point))
            values.append(share.detach())
            all_outputs.append(tree_map(torch.Tensor.detach, outputs))
            all_losses.append(losses.detach())
        return Gradients(_stack(gradients), torch.stack(values).sum(), _stack(all_outputs), torch.stack(all_losses))

    def hessian_product(self, network: Network, params: Params, vectors: Params, batch: Batch) -> Params:
        batch = self._ordered(network, params, batch)
        products = []
        for point, vector in zip(map(leaves, _points(params)), _points(vectors), strict=True):
            _, losses = network(point, batch)
            products.append(curvature(losses, point, vector))
        stacked: Params = _stack(products)
        return stacked

    def _ordered(self, network: Network, params: Params, batch: Batch) -> Batch:
        """The batch with channels last, unless the network once refused that."""
        reordered = _channels_last(batch)
        if self._reorders is None:
            try:
                with torch.no_grad():
                    network(next(_points(params)), reordered)
                self._reorders = True
            except RuntimeError:
                self._reorders = False
        return reordered if self._reorders else batch


def _points(params: Params) -> Iterator[Params]:
    """The parameters of one point after the other."""
    for values in zip(*params.values(), strict=True):
        yield dict(zip(params, values, strict=True))


def _stack(per_point: list[Outputs]) -> Outputs:
    return tree_map(lambda *leaves: torch.stack(leaves), per_point[0], *per_point[1:])


def _channels_last(batch: Batch) -> Batch:
    def convert(leaf: Tensor) -> Tensor:
        return leaf.contiguous(memory_format=torch.channels_last) if leaf.ndim == 4 else leaf

    return tree_map(convert, batch)
