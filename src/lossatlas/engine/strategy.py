"""The interface of engine strategies: how the networks at a few points are evaluated together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from lossatlas.engine.network import Network
from lossatlas.registry import Registry
from lossatlas.types import Batch, Outputs, Params

__all__ = ["STRATEGIES", "Gradients", "Strategy", "Term", "curvature", "gradient", "leaves", "plain_attention"]

STRATEGIES: Registry[type[Strategy]] = Registry("engine strategy", "lossatlas.engine.strategies")

Term: TypeAlias = Callable[[Outputs, Tensor, slice], Tensor]
"""A scalar made of outputs (k, B, ...) and losses (k, B) of the points in a slice; summed over all slices."""


@dataclass(frozen=True)
class Gradients:
    """What a pullback through the networks at p points gives; nothing in it carries a graph."""

    params: Params
    """(p, *shape), the gradient of the summed term at each point."""
    value: Tensor
    """(), the summed term."""
    outputs: Outputs
    """(p, B, ...)."""
    losses: Tensor
    """(p, B)."""


def leaves(params: Params, varied: Collection[str]) -> Params:
    """The same numbers, those in ``varied`` as parameters that gradients are taken for; buffers among them are held."""
    return {name: value.detach().requires_grad_(name in varied) for name, value in params.items()}


def gradient(scalar: Tensor, params: Params) -> Params:
    """The gradient of a scalar with respect to those that are leaves; zero where it does not depend on them."""
    if not scalar.requires_grad:
        return {name: torch.zeros_like(value) for name, value in params.items() if value.requires_grad}
    varied = {name: value for name, value in params.items() if value.requires_grad}
    pieces = torch.autograd.grad(scalar, list(varied.values()), materialize_grads=True)
    return dict(zip(varied, pieces, strict=True))


def plain_attention() -> AbstractContextManager[object]:
    """Attention is computed step by step: torch's fused kernels have no second derivatives and no rule for ``vmap``.

    In force for the whole process, so a strategy enters it before it hands work to threads.
    """
    return sdpa_kernel(SDPBackend.MATH)


def curvature(losses: Tensor, params: Params, vectors: Params) -> Params:
    """The Hessian of summed losses times vectors, by differentiating the slope along them (Pearlmutter 1994).

    In the parameters that the vectors name: buffers among the others are held.
    """
    varied = {name: params[name] for name in vectors}
    slope = torch.autograd.grad(losses.sum(), list(varied.values()), create_graph=True, materialize_grads=True)
    along = [(piece * vectors[name]).sum() for name, piece in zip(varied, slope, strict=True)]
    return gradient(torch.stack(along).sum(), varied)


class Strategy(ABC):
    """Evaluates p networks on one batch. Chunking is the engine's business: a strategy takes what it is given.

    ``params`` are named parameters (p, *shape) everywhere.
    """

    stacks_points: bool
    """Whether the activations of all p points are in memory together, which bounds the chunk."""

    @abstractmethod
    def each_point(self, function: Callable[[Params], Params], params: Params) -> Params:
        """A function of one network's named tensors at each point: (p, *shape) to (p, *shape)."""

    @abstractmethod
    def forward(self, network: Network, params: Params, batch: Batch) -> tuple[Outputs, Tensor]:
        """Outputs (p, B, ...) and losses (p, B), without a graph."""

    @abstractmethod
    def pullback(self, network: Network, params: Params, batch: Batch, term: Term) -> Gradients:
        """The gradient of ``term`` with respect to each point's parameters."""

    @abstractmethod
    def hessian_product(self, network: Network, params: Params, vectors: Params, batch: Batch) -> Params:
        """Per point the Hessian of the summed loss of the batch times a vector, (p, *shape) as all are."""
