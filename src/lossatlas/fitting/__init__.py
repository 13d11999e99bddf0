"""Fitting: gradient descent on the trained parameters of a chart."""

from lossatlas.fitting.budget import Budget, Seconds, Steps
from lossatlas.fitting.fit import Fit, FitResult, fit
from lossatlas.fitting.momentum import Momentum
from lossatlas.fitting.optimizer import Adam
from lossatlas.fitting.selection import KeepBest, Kept

__all__ = ["Adam", "Budget", "Fit", "FitResult", "KeepBest", "Kept", "Momentum", "Seconds", "Steps", "fit"]
