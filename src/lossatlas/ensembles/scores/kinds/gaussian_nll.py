"""The negative log likelihood of normal distributions."""

from __future__ import annotations

from math import pi

from torch import Tensor

from lossatlas.ensembles.averaged import AveragedValues
from lossatlas.ensembles.predictions import VALUES
from lossatlas.ensembles.scores.score import Score
from lossatlas.schema import Quantity

__all__ = ["GaussianLikelihood"]


class GaussianLikelihood(Score):
    """Minus the log density of the target under N(mean, spread^2) of the members, averaged over outputs.

    The spread is their standard deviation as a population. NaN for one member, and where all agree exactly.
    """

    kind = VALUES
    order = 20

    def quantity(self) -> Quantity:
        return Quantity("gaussian_nll", "negative log likelihood of mean and spread", "nat")

    def rate(self, averaged: AveragedValues) -> Tensor:
        squares = (averaged.mean - averaged.targets).square() / averaged.variance
        densities = ((2 * pi * averaged.variance).log() + squares) / 2
        return densities.where(averaged.variance > 0, float("nan")).mean(dim=1)
