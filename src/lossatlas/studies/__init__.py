"""What several networks have to do with each other: how differently they predict, and how weights are spread."""

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
