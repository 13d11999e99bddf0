"""Metrics: what a survey measures at a point."""

from lossatlas.metrics.metric import METRICS, OperatorMetric, metrics_for

__all__ = ["METRICS", "OperatorMetric", "metrics_for"]
