"""Comparisons of several networks: differences of their predictions, and distributions of their weights."""

from lossatlas.studies.differences import Difference, disagreement, jensen_shannon, measure_differences
from lossatlas.studies.histograms import histogram_weights
from lossatlas.studies.statistics import Moments, pearson, spearman, spread

__all__ = [
    "Difference",
    "Moments",
    "disagreement",
    "histogram_weights",
    "jensen_shannon",
    "measure_differences",
    "pearson",
    "spearman",
    "spread",
]
