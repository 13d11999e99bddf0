"""Metrics: what a survey measures at a point."""

from lossatlas.metrics.checking import check_computations
from lossatlas.metrics.choosing import AUTO, choose_metrics, choose_streaming_metrics
from lossatlas.metrics.computation import Computation
from lossatlas.metrics.mean import MeanMetric
from lossatlas.metrics.metric import (
    METRICS,
    OperatorMetric,
    count_numbers,
    group_by_computation,
    join_computations,
)
from lossatlas.metrics.probabilities import BINS, MOST_BINS, find_bins, score_brier
from lossatlas.metrics.users import PerExampleMetric

__all__ = [
    "AUTO",
    "BINS",
    "METRICS",
    "MOST_BINS",
    "Computation",
    "MeanMetric",
    "OperatorMetric",
    "PerExampleMetric",
    "check_computations",
    "choose_metrics",
    "choose_streaming_metrics",
    "count_numbers",
    "find_bins",
    "group_by_computation",
    "join_computations",
    "score_brier",
]
