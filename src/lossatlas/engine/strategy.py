"""The interface of engine strategies: how the networks at a few points are evaluated together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from lossatlas.engine.network import Network
from lossatlas.registry import Registry
from lossatlas.types import Batch, Outputs

__all__ = ["STRATEGIES", "Gradients", "Strategy", "Term"]

STRATEGIES: Registry[type[Strategy]] = Registry("engine strategy", "lossatlas.engine.strategies")

Term: TypeAlias = Callable[[Outputs, Tensor, slice], Tensor]
"""A scalar made of outputs (k, B, ...) and losses (k, B) of the points in a slice; summed over all slices."""


@dataclass(frozen=True)
class Gradients:
    """What a pullback through the networks at p points gives; nothing in it carries a graph."""

    weights: Tensor
    """(p, n), the gradient of the summed term at each point."""
    value: Tensor
    """(), the summed term."""
    outputs: Outputs
    """(p, B, ...)."""
    losses: Tensor
    """(p, B)."""


class Strategy(ABC):
    """Evaluates p networks on one batch. Chunking is the engine's business: a strategy takes what it is given."""

    stacks_points: bool
    """Whether the activations of all p points are in memory together, which bounds the chunk."""

    @abstractmethod
    def forward(self, network: Network, weights: Tensor, batch: Batch) -> tuple[Outputs, Tensor]:
        """Outputs (p, B, ...) and losses (p, B) at weights (p, n), without a graph."""

    @abstractmethod
    def pullback(self, network: Network, weights: Tensor, batch: Batch, term: Term) -> Gradients:
        """The gradient (p, n) of ``term`` with respect to each point's weights (p, n)."""

    @abstractmethod
    def hessian_product(self, network: Network, weights: Tensor, vectors: Tensor, batch: Batch) -> Tensor:
        """Per point the Hessian of the summed loss of the batch times a vector: (p, n) from vectors (p, n)."""
