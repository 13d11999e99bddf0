"""Metrics: what a survey measures at a point."""

from lossatlas.metrics.mean import MeanMetric
from lossatlas.metrics.metric import AUTO, METRICS, OperatorMetric, metrics_for, streaming_metrics
from lossatlas.metrics.users import PerExampleMetric

__all__ = [
    "AUTO",
    "METRICS",
    "MeanMetric",
    "OperatorMetric",
    "PerExampleMetric",
    "metrics_for",
    "streaming_metrics",
]
