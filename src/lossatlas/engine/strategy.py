"""The interface of engine strategies: how the networks at a few points are evaluated together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
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
    "Points",
    "Strategy",
    "Term",
    "apply_hessian",
    "derive_gradient",
    "derive_slopes",
    "make_leaves",
]

STRATEGIES: Registry[type[Strategy]] = Registry("engine strategy", "lossatlas.engine.strategies")

Term: TypeAlias = Callable[[Outputs, Tensor, slice], Tensor]
"""A scalar made of outputs (k, B, ...) and losses (k, B) of the points in a slice; summed over all slices."""


@dataclass(frozen=True)
class Points:
    """The networks at p points of a chart: their parameters, and what these are made of."""

    params: Params
    """(p, *shape), ``coefficients @ controls``; buffers among them where points have their own."""
    coefficients: Tensor
    """(p, m); they require a gradient where one is wanted."""
    controls: Params
    """(m, *shape). Empty where derivatives are wanted with respect to each point's parameters.

    Outputs that are made of them depend on the points through controls and coefficients, not through ``params``.
    """


@dataclass(frozen=True)
class Gradients:
    """What a pullback through the networks at p points gives; nothing in it carries a graph.

    The gradient of the summed term, in as many parts as there are ways from points to outputs: the whole is the sum.
    """

    params: Params
    """(p, *shape), at each point, with respect to its parameters; none or zero where outputs were made otherwise."""
    value: Tensor
    """(), the summed term."""
    outputs: Outputs
    """(p, B, ...)."""
    losses: Tensor
    """(p, B)."""
    controls: Params = field(default_factory=dict)
    """(m, *shape), with respect to controls that outputs were made of without forming each point's parameters."""
    coefficients: Tensor | None = None
    """(p, m), likewise with respect to coefficients, where they require a gradient."""


def make_leaves(params: Params, varied: Collection[str]) -> Params:
    """The same numbers, those in ``varied`` as parameters that gradients are taken for; buffers among them are held."""
    return {name: value.detach().requires_grad_(name in varied) for name, value in params.items()}


def derive_gradient(scalar: Tensor, params: Params) -> Params:
    """The gradient of a scalar with respect to those that are leaves; zero where it does not depend on them."""
    (pieces,) = derive_slopes(scalar, params)
    return {name: torch.zeros_like(params[name]) if piece is None else piece for name, piece in pieces.items()}


def derive_slopes(scalar: Tensor, *groups: Params) -> list[dict[str, Tensor | None]]:
    """The gradient of a scalar with respect to the leaves of each group; None where it does not depend on one."""
    varied = [{name: value for name, value in group.items() if value.requires_grad} for group in groups]
    flat = [value for group in varied for value in group.values()]
    found = torch.autograd.grad(scalar, flat, allow_unused=True) if scalar.requires_grad else [None] * len(flat)
    pieces = iter(found)
    return [{name: next(pieces) for name in group} for group in varied]


def apply_hessian(scalar: Tensor, params: Params, vectors: Params) -> Params:
    """The Hessian of a scalar times vectors, by differentiating the slope along them (Pearlmutter 1994).

    In the parameters that the vectors name: buffers among the others are held.
    """
    varied = {name: params[name] for name in vectors}
    if not scalar.requires_grad:  # nothing that depends on the parameters counts
        return {name: torch.zeros_like(value) for name, value in varied.items()}
    slope = torch.autograd.grad(scalar, list(varied.values()), create_graph=True, materialize_grads=True)
    along = [(piece * vectors[name]).sum() for name, piece in zip(varied, slope, strict=True)]
    return derive_gradient(torch.stack(along).sum(), varied)


class Strategy(ABC):
    """Evaluates p networks on one batch. Chunking is the engine's business: a strategy takes what it is given.

    ``params`` are named parameters (p, *shape) everywhere. Whether a strategy takes them or makes its outputs of
    :attr:`Points.controls` changes what it gives by rounding alone.
    """

    rank: int
    """Of two strategies that are equally fast, the one with the lower rank is taken: it is the simpler one."""
    stacks_points: bool
    """Whether the activations of all p points are in memory together, which bounds the chunk."""

    @classmethod
    def at_once(cls) -> int | None:
        """How many networks are worked on at the same time; None: all points of a chunk."""
        return None if cls.stacks_points else 1

    @abstractmethod
    def each_point(self, function: Callable[[Params], Params], params: Params) -> Params:
        """A function of one network's named tensors at each point: (p, *shape) to (p, *shape)."""

    @abstractmethod
    def forward(self, network: Network, points: Points, batch: Batch) -> tuple[Outputs, Tensor]:
        """Outputs (p, B, ...) and losses (p, B), without a graph."""

    @abstractmethod
    def pullback(self, network: Network, points: Points, batch: Batch, term: Term) -> Gradients:
        """The gradient of ``term`` with respect to each point's parameters, or to what they are made of."""

    @abstractmethod
    def hessian_product(self, network: Network, points: Points, vectors: Params, batch: Batch, term: Term) -> Params:
        """Per point the Hessian of a term times a vector, (p, *shape) as all are.

        Args:
            network: that the points are of.
            points: p of them.
            vectors: (p, *shape).
            batch: that outputs and losses are of.
            term: a sum over points.
        """
