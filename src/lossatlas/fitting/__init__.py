"""Fitting: gradient descent on the trained parameters of a chart."""

from lossatlas.fitting.budget import Budget, Seconds, Steps
from lossatlas.fitting.fit import Fit, FitResult, fit
from lossatlas.fitting.momentum import Momentum
from lossatlas.fitting.optimizer import Adam

__all__ = ["Adam", "Budget", "Fit", "FitResult", "Momentum", "Seconds", "Steps", "fit"]
