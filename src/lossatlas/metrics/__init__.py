"""Metrics: what a survey measures at a point."""

from lossatlas.metrics.choosing import AUTO, metrics_for, streaming_metrics
from lossatlas.metrics.computation import Computation
from lossatlas.metrics.mean import MeanMetric
from lossatlas.metrics.metric import METRICS, OperatorMetric, count_numbers, group_by_computation
from lossatlas.metrics.users import PerExampleMetric

__all__ = [
    "AUTO",
    "METRICS",
    "Computation",
    "MeanMetric",
    "OperatorMetric",
    "PerExampleMetric",
    "count_numbers",
    "group_by_computation",
    "metrics_for",
    "streaming_metrics",
]
