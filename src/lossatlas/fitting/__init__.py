"""Fitting: gradient descent on a chart's trained parameters."""

from lossatlas.fitting.budget import Budget, Seconds, Steps
from lossatlas.fitting.fit import Fit, FitResult, fit
from lossatlas.fitting.optimizer import Adam
from lossatlas.fitting.schedule import SCHEDULES, Schedule

__all__ = ["SCHEDULES", "Adam", "Budget", "Fit", "FitResult", "Schedule", "Seconds", "Steps", "fit"]
