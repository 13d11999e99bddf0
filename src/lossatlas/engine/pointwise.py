"""The base of strategies that call one network after another."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from lossatlas.engine.network import Network
from lossatlas.engine.operators import OPERATORS, Multiply
from lossatlas.engine.private import GROUP_NORM, drop_graph, force_plain_attention
from lossatlas.engine.strategy import (
    Gradients,
    Linearised,
    Points,
    Strategy,
    Term,
    derive_gradient,
    make_leaves,
)
from lossatlas.types import Batch, Outputs, Params

__all__ = ["Pointwise"]

T = TypeVar("T")


class Pointwise(Strategy):
    """A functional call per point, for any module.

    Unless ``rewrites`` is False, layers are merged if possible (:mod:`lossatlas.engine.sequential`), and images have
    channels last, unless the module does not support it (because of a ``view`` of its features, for instance).
    """

    stacks_points = False
    rewrites = True
    """Whether networks are called in another way than they were written, with the same results."""

    def __init__(self) -> None:
        self._reorders: bool | None = None
        self._merged: tuple[Network, Network] | None = None
        """A network, and the one with merged layers that is called instead."""

    @abstractmethod
    def over(self, count: int, network: Network, call: Callable[[int, Network], T]) -> Sequence[T]:
        """Return ``call(i, network)`` for i = 0 ... count - 1, in order; the network may be a replica."""

    def each_point(self, function: Callable[[Params], Params], params: Params) -> Params:
        stacked: Params = _stack([function(point) for point in _each(params)])
        return stacked

    def forward(self, network: Network, points: Points, batch: Batch) -> tuple[Outputs, Tensor]:
        network, batch = self._rewritten(network, points.params, batch)
        each = list(_each(points.params))

        def call(i: int, network: Network) -> tuple[Outputs, Tensor]:
            with network.calling():
                # A forward pass that differentiates may do so with respect to its weights.
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

    def linearise(
        self, network: Network, points: Points, batch: Batch, term: Term, operator: str, varied: Collection[str]
    ) -> Linearised:
        network, batch = self._rewritten(network, points.params, batch, graph=True)
        each = list(_each(points.params))

        def call(i: int, network: Network) -> Multiply:
            return _linearise(network, i, each[i], batch, term, operator, varied)

        with force_plain_attention():
            products = self.over(len(each), network, call)

        def multiply(vectors: Params, indices: Sequence[int]) -> Params:
            own = list(_each(vectors))
            stacked: Params = _stack(self.over(len(own), network, lambda k, _: products[indices[k]](own[k])))
            return stacked

        return multiply

    def multiply(
        self, network: Network, points: Points, vectors: Params, batch: Batch, term: Term, operator: str
    ) -> Params:
        network, batch = self._rewritten(network, points.params, batch, graph=True)
        pairs = list(zip(_each(points.params), _each(vectors), strict=True))

        def call(i: int, network: Network) -> Params:  # the graph of one network is gone before that of the next one
            return _linearise(network, i, pairs[i][0], batch, term, operator, list(vectors))(pairs[i][1])

        with force_plain_attention():
            stacked: Params = _stack(self.over(len(pairs), network, call))
        return stacked

    def _rewritten(
        self, network: Network, params: Params, batch: Batch, *, graph: bool = False
    ) -> tuple[Network, Batch]:
        """The network with merged layers, and the batch with channels last unless the network failed with it before."""
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


def _linearise(
    network: Network, i: int, point: Params, batch: Batch, term: Term, operator: str, varied: Collection[str]
) -> Multiply:
    """Prepare products at one point, the i-th."""
    params = make_leaves(point, varied)

    def scalar(outputs: Outputs) -> Tensor:
        seen, losses = network.judge(outputs, batch)
        return term(tree_map(_alone, seen), losses[None], slice(i, i + 1))

    outputs = network.respond(params, batch)
    return OPERATORS[operator](outputs, scalar, {name: params[name] for name in varied})


def _ends_the_process(network: Network) -> bool:
    """Whether a gradient may crash the process if images have channels last.

    Torch 2.13 writes out of bounds in the backward pass of a group normalisation with channels last if its weights
    have a gradient and its input has none: it is the first layer, or the layers before it are held fixed.
    """
    layers = any(isinstance(part, nn.GroupNorm) for part in network.module.modules())
    return layers or network.uses(GROUP_NORM)  # a function, which is seen where it is called


def _each(params: Params) -> Iterator[Params]:
    """The parameters of each point."""
    for values in zip(*params.values(), strict=True):
        yield dict(zip(params, values, strict=True))


def _stack(per_point: Sequence[Outputs]) -> Outputs:
    """The tensors of all points stacked; leaves that are not tensors (user objects) are dropped."""

    def together(*leaves: Any) -> Tensor | None:
        return torch.stack(leaves) if all(isinstance(leaf, Tensor) for leaf in leaves) else None

    return tree_map(together, per_point[0], *per_point[1:])


def _alone(leaf: Any) -> Tensor | None:
    """A tensor with an axis for a single point; other leaves are dropped."""
    return leaf[None] if isinstance(leaf, Tensor) else None


def _channels_last(tree: Batch) -> Batch:
    """Copy images to channels-last memory; other tensors are returned as they are.

    Copied explicitly, because ``contiguous`` leaves an image of one channel with strides of the other format, which all
    layers would follow (pooling alone is then five times slower on a CPU).
    """

    def convert(leaf: Tensor) -> Tensor:
        if leaf.ndim != 4 or leaf.stride(1) == 1:
            return leaf
        return torch.empty_like(leaf, memory_format=torch.channels_last).copy_(leaf)

    return tree_map(convert, tree)
