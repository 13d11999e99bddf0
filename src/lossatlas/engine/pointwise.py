"""What strategies that call one network after another have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from lossatlas.engine.network import Network
from lossatlas.engine.private import GROUP_NORM, drop_graph, force_plain_attention
from lossatlas.engine.strategy import (
    Gradients,
    Points,
    Strategy,
    Term,
    apply_hessian,
    derive_gradient,
    make_leaves,
)
from lossatlas.types import Batch, Outputs, Params

__all__ = ["Pointwise"]

T = TypeVar("T")


class Pointwise(Strategy):
    """A functional call per point. Any module that can be called can be served.

    Unless a strategy says otherwise, layers are merged where it is known how (:mod:`lossatlas.engine.sequential`), and
    images have channels last; modules that cannot take those (a ``view`` of their features, say) get them as they are.
    """

    stacks_points = False
    rewrites = True
    """Whether networks are called in another way than they were written, with the same values."""

    def __init__(self) -> None:
        self._reorders: bool | None = None
        self._merged: tuple[Network, Network] | None = None
        """A network, and the one that is called for it."""

    @abstractmethod
    def over(self, count: int, network: Network, call: Callable[[int, Network], T]) -> Sequence[T]:
        """``call(i, network)`` for i = 0 ... count - 1, in that order; the network may be a replica."""

    def each_point(self, function: Callable[[Params], Params], params: Params) -> Params:
        stacked: Params = _stack([function(point) for point in _each(params)])
        return stacked

    def forward(self, network: Network, points: Points, batch: Batch) -> tuple[Outputs, Tensor]:
        network, batch = self._rewritten(network, points.params, batch)
        each = list(_each(points.params))

        def call(i: int, network: Network) -> tuple[Outputs, Tensor]:
            with network.calling():
                # A forward pass that differentiates itself may do so by its weights.
                point = make_leaves(each[i], network.varied) if network.differentiates else each[i]
                return drop_graph(network(point, batch))

        results = self.over(len(each), network, call)
        return _stack([outputs for outputs, _ in results]), torch.stack([losses for _, losses in results])

    def pullback(self, network: Network, points: Points, batch: Batch, term: Term) -> Gradients:
        network, batch = self._rewritten(network, points.params, batch, graph=True)
        each = list(_each(points.params))

        def call(i: int, network: Network) -> tuple[Params, Tensor, Outputs, Tensor]:
            point = make_leaves(each[i], network.varied)
            outputs, losses = network(point, batch)
            share = term(tree_map(_alone, outputs), losses[None], slice(i, i + 1))
            return derive_gradient(share, point), share.detach(), *drop_graph((outputs, losses))

        gradients, values, outputs, losses = zip(*self.over(len(each), network, call), strict=True)
        return Gradients(_stack(gradients), torch.stack(values).sum(), _stack(outputs), torch.stack(losses))

    def hessian_product(self, network: Network, points: Points, vectors: Params, batch: Batch, term: Term) -> Params:
        network, batch = self._rewritten(network, points.params, batch, graph=True)
        pairs = list(zip(_each(points.params), _each(vectors), strict=True))

        def call(i: int, network: Network) -> Params:
            point, vector = make_leaves(pairs[i][0], network.varied), pairs[i][1]
            outputs, losses = network(point, batch)
            share = term(tree_map(_alone, outputs), losses[None], slice(i, i + 1))
            return apply_hessian(share, point, vector)

        with force_plain_attention():
            stacked: Params = _stack(self.over(len(pairs), network, call))
        return stacked

    def _rewritten(
        self, network: Network, params: Params, batch: Batch, *, graph: bool = False
    ) -> tuple[Network, Batch]:
        """The network with layers merged; and the batch with channels last, unless the network once refused that."""
        if not self.rewrites:
            return network, batch
        if self._merged is None or self._merged[0] is not network:
            self._merged = network, network.merged()
        network = self._merged[1]
        if graph and _ends_the_process(network):
            return network, batch
        reordered = _channels_last(batch)
        if self._reorders is None:
            try:
                with network.calling():
                    network(next(_each(params)), reordered)
                self._reorders = True
            except RuntimeError:
                self._reorders = False
        return network, reordered if self._reorders else batch


def _ends_the_process(network: Network) -> bool:
    """Whether a gradient may do so where images have channels last.

    Torch 2.13 writes where it must not in the backward pass of a group normalisation with channels last, where its
    weights have a gradient and what it is given has none: it comes first, or layers before it are held.
    """
    layers = any(isinstance(part, nn.GroupNorm) for part in network.module.modules())
    return layers or network.uses(GROUP_NORM)  # a function, which is seen where it is called


def _each(params: Params) -> Iterator[Params]:
    """The parameters of one point after the other."""
    for values in zip(*params.values(), strict=True):
        yield dict(zip(params, values, strict=True))


def _stack(per_point: Sequence[Outputs]) -> Outputs:
    """Tensors of all points together; of what is not a tensor (an object of the user's) nothing is handed on."""

    def together(*leaves: Any) -> Tensor | None:
        return torch.stack(leaves) if all(isinstance(leaf, Tensor) for leaf in leaves) else None

    return tree_map(together, per_point[0], *per_point[1:])


def _alone(leaf: Any) -> Tensor | None:
    """What a tensor is among those of all points; as above."""
    return leaf[None] if isinstance(leaf, Tensor) else None


def _channels_last(tree: Batch) -> Batch:
    """Images with channels last in memory; everything else as it is.

    Copied rather than asked for by ``contiguous``: an image of one channel is contiguous in either order, keeps the
    strides of the other, and drags the whole network along (pooling alone is five times slower there on a CPU).
    """

    def convert(leaf: Tensor) -> Tensor:
        if leaf.ndim != 4 or leaf.stride(1) == 1:
            return leaf
        return torch.empty_like(leaf, memory_format=torch.channels_last).copy_(leaf)

    return tree_map(convert, tree)
