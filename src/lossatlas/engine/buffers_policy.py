"""Buffers policies: what running statistics mean at a point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self, TypeAlias

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from lossatlas.charts import CoefficientChart
from lossatlas.data import Split
from lossatlas.engine.private import Handed
from lossatlas.registry import Registry
from lossatlas.types import Params

__all__ = ["BUFFERS", "BuffersPolicy", "EachPoint", "Prepared", "Shared", "find_normalisation_layers"]

BUFFERS: Registry[type[BuffersPolicy]] = Registry("buffers policy", "lossatlas.engine.buffers")

EachPoint: TypeAlias = Callable[[Callable[[Params], Params], Params], Params]
"""Applies a function of one network's named tensors at each of p points: (p, *shape) to (p, *shape)."""


class Prepared(ABC):
    """A module under a policy."""

    module: nn.Module
    """In evaluation mode, as it is called at every point; its forward pass writes to no buffer."""
    couples_examples: bool = False
    """Whether what an example gives depends on which others are evaluated with it, or before all points are."""

    @abstractmethod
    def buffers(self, each_point: EachPoint, params: Params, coefficients: Tensor) -> Params:
        """Buffers (p, *shape) of p points that stand in for the module's own.

        Args:
            each_point: how a strategy applies a function at all points.
            params: named parameters (p, *shape).
            coefficients: (p, m), those of the points.
        """


class Shared(Prepared):
    """A module whose buffers are the same at every point."""

    def __init__(self, module: nn.Module, *, couples_examples: bool = False) -> None:
        self.module = module
        self.couples_examples = couples_examples

    def buffers(self, each_point: EachPoint, params: Params, coefficients: Tensor) -> Params:
        return {}


class BuffersPolicy(ABC):
    """What running statistics mean at a point that nobody trained."""

    record: str
    """What a survey records of it."""
    varies: bool
    """Whether points have statistics of their own."""
    follows_weights: bool
    """Whether a gradient knows how the statistics change with the weights; a fit asks for that."""
    passes: int = 0
    """How many examples go through the network of each point for its statistics, besides those that are evaluated."""

    @classmethod
    @abstractmethod
    def for_run(cls, train: Split, eval_batch_size: int, batches: int) -> Self:
        """The policy as a run has it.

        Args:
            train: training examples.
            eval_batch_size: how many of them are evaluated together.
            batches: from how many groups statistics are estimated, where a policy does so.
        """

    @abstractmethod
    def check(self, module: nn.Module, chart: CoefficientChart) -> None:
        """Refuse a module and a chart for which the policy has no meaning.

        Raises:
            BadInput: the policy needs what is not there.
        """

    @abstractmethod
    def prepare(self, module: nn.Module, handed: Handed, chart: CoefficientChart) -> Prepared:
        """The module as it is to be called at every point. Owns the module and may change it.

        Args:
            module: a private copy.
            handed: how it is called.
            chart: where.
        """


def find_normalisation_layers(module: nn.Module) -> dict[str, _NormBase]:
    """The submodules that keep running statistics (batch and instance normalisation), by name."""
    parts = module.named_modules()
    return {name: part for name, part in parts if isinstance(part, _NormBase) and part.running_mean is not None}
