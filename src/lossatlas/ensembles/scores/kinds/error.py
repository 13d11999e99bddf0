"""The error rate."""

from __future__ import annotations

from torch import Tensor

from lossatlas.ensembles.averaged import AveragedClasses
from lossatlas.ensembles.predictions import CLASSES
from lossatlas.ensembles.scores.score import Score
from lossatlas.schema import Quantity

__all__ = ["ErrorRate"]


class ErrorRate(Score):
    """The fraction of wrong predictions; no temperature changes it."""

    kind = CLASSES
    order = 20

    def quantity(self) -> Quantity:
        return Quantity("error", "error rate", "1")

    def rate(self, averaged: AveragedClasses) -> Tensor:
        return (~averaged.right).double()
