"""The Brier score."""

from __future__ import annotations

from torch import Tensor

from lossatlas.ensembles.averaged import AveragedClasses
from lossatlas.ensembles.predictions import CLASSES
from lossatlas.ensembles.scores.score import Score
from lossatlas.metrics import score_brier
from lossatlas.schema import Quantity

__all__ = ["Brier"]


class Brier(Score):
    """The squared distance between probabilities and the label, from 0 to 2 (Brier 1950)."""

    kind = CLASSES
    order = 30

    def quantity(self) -> Quantity:
        return Quantity("brier", "Brier score", "1")

    def rate(self, averaged: AveragedClasses) -> Tensor:
        return score_brier(averaged.probabilities, averaged.labels, dim=0)
