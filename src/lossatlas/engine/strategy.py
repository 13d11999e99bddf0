"""The interface of strategies, which evaluate the networks at a few points on one batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from lossatlas.engine.network import Network
from lossatlas.registry import Registry
from lossatlas.types import Batch, Outputs, Params

__all__ = [
    "STRATEGIES",
    "Gradients",
    "Linearised",
    "Points",
    "Strategy",
    "Term",
    "derive_gradient",
    "derive_slopes",
    "make_leaves",
]

STRATEGIES: Registry[type[Strategy]] = Registry("engine strategy", "lossatlas.engine.strategies")

Term: TypeAlias = Callable[[Outputs, Tensor, slice], Tensor]
"""A scalar function of outputs (k, B, ...) and losses (k, B) at the points in a slice; summed over all slices."""


Linearised: TypeAlias = Callable[[Params, Sequence[int]], Params]
"""Multiplies an operator at some of p points, given by their indices (k,), with a vector each: (k, *shape) to (k,
*shape). The graph stays in memory, and a product may be followed by others."""


@dataclass(frozen=True)
class Points:
    """The networks at p points of a chart: parameters, coefficients and controls."""

    params: Params
    """The parameters (p, *shape), ``coefficients @ controls``; with buffers if points have their own."""
    coefficients: Tensor
    """The coefficients (p, m), which require a gradient if it is to be computed."""
    controls: Params
    """The controls (m, *shape); empty if derivatives with respect to the parameters of each point are needed.

    Outputs computed from them depend on the points through controls and coefficients, not through ``params``.
    """


@dataclass(frozen=True)
class Gradients:
    """The result of a pullback through the networks at p points, without a graph.

    The gradient is the sum of the parts with respect to parameters, controls and coefficients.
    """

    params: Params
    """The gradients with respect to the parameters of each point, (p, *shape); missing or zero for unused ones."""
    value: Tensor
    """The summed term, ()."""
    outputs: Outputs
    """The outputs, (p, B, ...)."""
    losses: Tensor
    """The losses, (p, B)."""
    controls: Params = field(default_factory=dict)
    """The gradients (m, *shape) with respect to controls that were used without computing parameters of points."""
    coefficients: Tensor | None = None
    """The gradients (p, m) with respect to coefficients, likewise, if they require them."""


def make_leaves(params: Params, varied: Collection[str]) -> Params:
    """Detach named tensors and make those in ``varied`` require gradients."""
    return {name: value.detach().requires_grad_(name in varied) for name, value in params.items()}


def derive_gradient(scalar: Tensor, params: Params) -> Params:
    """Compute the gradient of a scalar with respect to the leaves among tensors; zero if it does not depend on them."""
    (pieces,) = derive_slopes(scalar, params)
    return {name: torch.zeros_like(params[name]) if piece is None else piece for name, piece in pieces.items()}


def derive_slopes(scalar: Tensor, *groups: Params) -> list[dict[str, Tensor | None]]:
    """Compute the gradient of a scalar with respect to the leaves of each group; None if it does not depend on one."""
    varied = [{name: value for name, value in group.items() if value.requires_grad} for group in groups]
    flat = [value for group in varied for value in group.values()]
    found = torch.autograd.grad(scalar, flat, allow_unused=True) if scalar.requires_grad else [None] * len(flat)
    pieces = iter(found)
    return [{name: next(pieces) for name in group} for group in varied]


class Strategy(ABC):
    """Evaluates p networks on one batch. The engine cuts points into chunks.

    ``params`` are named parameters (p, *shape) everywhere. Whether a strategy uses them or :attr:`Points.controls`
    changes results by rounding error only.
    """

    rank: int
    """The rank in simplicity: of two equally fast strategies the one with the lower rank is chosen."""
    stacks_points: bool
    """Whether the activations of all p points are in memory at the same time, which limits the chunk."""

    @classmethod
    def at_once(cls) -> int | None:
        """The number of networks that are evaluated at the same time; None for all points of a chunk."""
        return None if cls.stacks_points else 1

    @abstractmethod
    def each_point(self, function: Callable[[Params], Params], params: Params) -> Params:
        """Apply a function of the named tensors of one network at each point: (p, *shape) to (p, *shape)."""

    @abstractmethod
    def forward(self, network: Network, points: Points, batch: Batch) -> tuple[Outputs, Tensor]:
        """Compute outputs (p, B, ...) and losses (p, B), without a graph."""

    @abstractmethod
    def pullback(self, network: Network, points: Points, batch: Batch, term: Term) -> Gradients:
        """Compute the gradient of ``term`` with respect to parameters, or to controls and coefficients."""

    @abstractmethod
    def linearise(
        self, network: Network, points: Points, batch: Batch, term: Term, operator: str, varied: Collection[str]
    ) -> Linearised:
        """Prepare products with an operator of a term at each point, whose graphs stay in memory.

        Args:
            network: the network that is evaluated.
            points: its parameters at p points.
            batch: the examples.
            term: a sum over points.
            operator: a name in :data:`~lossatlas.engine.operators.OPERATORS`.
            varied: the names of the parameters in which the operator is taken; the others are held fixed.

        Raises:
            BadInput: the operator is not defined for this network.
        """

    def multiply(
        self, network: Network, points: Points, vectors: Params, batch: Batch, term: Term, operator: str
    ) -> Params:
        """Compute the product of an operator of a term at each point with a vector, and keep nothing.

        Args:
            network: the network that is evaluated.
            points: its parameters at p points.
            vectors: one vector for each point, (p, *shape), in the parameters in which the operator is taken.
            batch: the examples.
            term: a sum over points.
            operator: a name in :data:`~lossatlas.engine.operators.OPERATORS`.
        """
        product = self.linearise(network, points, batch, term, operator, list(vectors))
        return product(vectors, range(len(points.coefficients)))
