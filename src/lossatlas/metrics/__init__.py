"""Metrics: what a survey measures at a point."""

from lossatlas.metrics.computation import Computation
from lossatlas.metrics.mean import MeanMetric
from lossatlas.metrics.metric import (
    AUTO,
    METRICS,
    OperatorMetric,
    by_computation,
    count_numbers,
    metrics_for,
    streaming_metrics,
)
from lossatlas.metrics.users import PerExampleMetric

__all__ = [
    "AUTO",
    "METRICS",
    "Computation",
    "MeanMetric",
    "OperatorMetric",
    "PerExampleMetric",
    "by_computation",
    "count_numbers",
    "metrics_for",
    "streaming_metrics",
]
