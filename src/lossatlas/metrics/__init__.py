"""Metrics: what a survey measures at a point."""

from lossatlas.metrics.metric import METRICS, OperatorMetric, metrics_for, streaming_metrics

__all__ = ["METRICS", "OperatorMetric", "metrics_for", "streaming_metrics"]
