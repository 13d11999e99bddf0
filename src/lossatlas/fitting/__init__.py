"""Fitting: gradient descent on the trained parameters of a chart."""

from lossatlas.fitting.adam import Adam
from lossatlas.fitting.budget import Budget, Seconds, Steps
from lossatlas.fitting.fit import Fit, FitResult, fit
from lossatlas.fitting.momentum import Momentum
from lossatlas.fitting.muon import Muon
from lossatlas.fitting.optimizer import ChartOptimizer
from lossatlas.fitting.selection import KeepBest, Kept

__all__ = [
    "Adam",
    "Budget",
    "ChartOptimizer",
    "Fit",
    "FitResult",
    "KeepBest",
    "Kept",
    "Momentum",
    "Muon",
    "Seconds",
    "Steps",
    "fit",
]
