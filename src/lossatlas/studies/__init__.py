"""What several networks have to do with each other: how differently they predict, and how weights are spread."""

from lossatlas.studies.differences import Difference, disagreement, functional_differences, jensen_shannon
from lossatlas.studies.histograms import histogram_weights
from lossatlas.studies.statistics import Moments, pearson, spearman, spread

__all__ = [
    "Difference",
    "Moments",
    "disagreement",
    "functional_differences",
    "histogram_weights",
    "jensen_shannon",
    "pearson",
    "spearman",
    "spread",
]
