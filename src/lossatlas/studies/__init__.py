"""Studies of networks: how predictions differ, how weights are distributed, what single examples do at a point."""

from lossatlas.studies.breaking import Break, Breaks, find_breaks
from lossatlas.studies.differences import Difference, disagreement, jensen_shannon, measure_differences
from lossatlas.studies.examined import (
    ChangedExample,
    ExaminedSplit,
    Example,
    examine_network,
    examine_point,
    form_point,
)
from lossatlas.studies.histograms import histogram_weights
from lossatlas.studies.placing import Place, measure_place
from lossatlas.studies.rays import Rays, cast_rays
from lossatlas.studies.statistics import Moments, pearson, spearman, spread

__all__ = [
    "Break",
    "Breaks",
    "ChangedExample",
    "Difference",
    "ExaminedSplit",
    "Example",
    "Moments",
    "Place",
    "Rays",
    "cast_rays",
    "disagreement",
    "examine_network",
    "examine_point",
    "find_breaks",
    "form_point",
    "histogram_weights",
    "jensen_shannon",
    "measure_differences",
    "measure_place",
    "pearson",
    "spearman",
    "spread",
]
