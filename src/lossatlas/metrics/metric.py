"""Metrics by name: streaming ones, folded over outputs and losses, and operator ones, made of derivatives."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from lossatlas.engine import Derivatives, StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.registry import Registry
from lossatlas.schema import Quantity

__all__ = ["METRICS", "OperatorMetric", "metrics_for"]


class OperatorMetric(ABC):
    """A metric of the derivatives at a point."""

    @abstractmethod
    def applies(self, loss: Loss) -> bool:
        """Whether the metric has a meaning under this loss."""

    @abstractmethod
    def quantity(self, loss: Loss) -> Quantity:
        """Name and unit under this loss."""

    @abstractmethod
    def value(self, derivatives: Derivatives) -> Tensor:
        """The metric (p,) at the p points of a chunk."""


METRICS: Registry[type[StreamingMetric] | type[OperatorMetric]] = Registry("metric", "lossatlas.metrics.kinds")


def metrics_for(loss: Loss, names: list[str] | None = None) -> dict[str, StreamingMetric | OperatorMetric]:
    """Metrics by name; by default the loss, and the accuracy where it has a meaning.

    Raises:
        BadInput: an unknown name, or a metric that has no meaning under this loss.
    """
    if names is None:
        made = {name: METRICS[name]() for name in ("loss", "accuracy")}
        return {name: metric for name, metric in made.items() if metric.applies(loss)}
    chosen = {name: METRICS[name]() for name in names}
    for name, metric in chosen.items():
        if not metric.applies(loss):
            raise BadInput(f"metric {name!r} has no meaning under {type(loss).__name__}; leave it out")
    return chosen
