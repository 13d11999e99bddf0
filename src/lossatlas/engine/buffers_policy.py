"""Buffers policies: which statistics normalisation layers use at a point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self, TypeAlias

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from lossatlas.charts import Chart
from lossatlas.data import Split
from lossatlas.engine.private import Handed
from lossatlas.registry import Registry
from lossatlas.types import Params

__all__ = [
    "BUFFERS",
    "BuffersPolicy",
    "EachPoint",
    "Prepared",
    "Shared",
    "find_normalisation_layers",
    "list_statistics",
]

BUFFERS: Registry[type[BuffersPolicy]] = Registry("buffers policy", "lossatlas.engine.buffers")

EachPoint: TypeAlias = Callable[[Callable[[Params], Params], Params], Params]
"""Applies a function of the named tensors of one network at each of p points: (p, *shape) to (p, *shape)."""


class Prepared(ABC):
    """A module prepared for a policy."""

    module: nn.Module
    """The module that is called at every point, in evaluation mode; its forward pass does not write to buffers."""
    couples_examples: bool = False
    """Whether the output for an example depends on the other examples of the batch, or on those of the policy."""

    @abstractmethod
    def buffers(self, each_point: EachPoint, params: Params, coefficients: Tensor) -> Params:
        """Compute the buffers (p, *shape) of p points that replace those of the module.

        Args:
            each_point: applies a function at all points, as the strategy does.
            params: the parameters of the points by name, (p, *shape).
            coefficients: the coefficients of the points, (p, m).
        """


class Shared(Prepared):
    """A module whose buffers are the same at every point."""

    def __init__(self, module: nn.Module, *, couples_examples: bool = False) -> None:
        self.module = module
        self.couples_examples = couples_examples

    def buffers(self, each_point: EachPoint, params: Params, coefficients: Tensor) -> Params:
        return {}


class BuffersPolicy(ABC):
    """Which statistics normalisation layers use at points of a chart, whose networks were not trained themselves."""

    record: str
    """A description of the policy that surveys record."""
    varies: bool
    """Whether each point has its own statistics."""
    follows_weights: bool
    """Whether gradients include how the statistics change with the weights, which a fit requires."""
    passes: int = 0
    """How many examples pass the network of each point for its statistics, besides those that are evaluated."""

    @classmethod
    @abstractmethod
    def for_run(cls, train: Split, eval_batch_size: int, batches: int) -> Self:
        """Make the policy of a run.

        Args:
            train: the training examples.
            eval_batch_size: how many examples are evaluated together.
            batches: from how many batches statistics are estimated, for a policy that does so.
        """

    @abstractmethod
    def check(self, module: nn.Module, chart: Chart) -> None:
        """Refuse a module and a chart for which the policy is not defined.

        Raises:
            BadInput: the chart lacks the networks or statistics that the policy needs.
        """

    @abstractmethod
    def prepare(self, module: nn.Module, handed: Handed, chart: Chart) -> Prepared:
        """Prepare a module for being called at every point; the policy owns the module and may change it.

        Args:
            module: a private copy.
            handed: how the module is called.
            chart: where it will be evaluated.
        """


def find_normalisation_layers(module: nn.Module) -> dict[str, _NormBase]:
    """Find the submodules with running statistics (batch and instance normalisation), by name."""
    parts = module.named_modules()
    return {name: part for name, part in parts if isinstance(part, _NormBase) and part.running_mean is not None}


def list_statistics(module: nn.Module) -> set[str]:
    """List the names of the running statistics of normalisation layers, which buffers policies handle."""
    layers = [(prefix, layer) for prefix, layer in module.named_modules() if isinstance(layer, _NormBase)]
    return {f"{prefix}.{name}" if prefix else name for prefix, layer in layers for name, _ in layer.named_buffers()}
