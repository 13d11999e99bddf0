"""The negative log likelihood of labels."""

from __future__ import annotations

from torch import Tensor

from lossatlas.ensembles.averaged import AveragedClasses
from lossatlas.ensembles.predictions import CLASSES
from lossatlas.ensembles.scores.score import Score
from lossatlas.schema import Quantity

__all__ = ["LogLikelihood"]


class LogLikelihood(Score):
    """Minus the logarithm of the probability of the label; infinite where a label has probability 0."""

    kind = CLASSES
    order = 10

    def quantity(self) -> Quantity:
        return Quantity("nll", "negative log likelihood", "nat")

    def rate(self, averaged: AveragedClasses) -> Tensor:
        return -averaged.of_label
