"""Metrics by name: streaming ones, folded over outputs and losses, and operator ones, made of derivatives."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from lossatlas.engine import Derivatives, Metric, StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.registry import Registry

__all__ = ["METRICS", "OperatorMetric", "metrics_for", "streaming_metrics"]


class OperatorMetric(Metric):
    """A metric of the derivatives at a point."""

    @abstractmethod
    def value(self, derivatives: Derivatives) -> Tensor:
        """The metric (p,) at the p points of a chunk."""


METRICS: Registry[type[Metric]] = Registry("metric", "lossatlas.metrics.kinds")


def metrics_for(loss: Loss, names: list[str] | None = None) -> dict[str, Metric]:
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


def streaming_metrics(loss: Loss, names: list[str] | None = None) -> dict[str, StreamingMetric]:
    """Those of :func:`metrics_for` that are folded over outputs and losses."""
    return {name: metric for name, metric in metrics_for(loss, names).items() if isinstance(metric, StreamingMetric)}
