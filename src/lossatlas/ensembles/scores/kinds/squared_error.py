"""The squared error of the mean."""

from __future__ import annotations

from torch import Tensor

from lossatlas.ensembles.averaged import AveragedValues
from lossatlas.ensembles.predictions import VALUES
from lossatlas.ensembles.scores.score import Score
from lossatlas.schema import Quantity

__all__ = ["SquaredErrorOfMean"]


class SquaredErrorOfMean(Score):
    """The squared error of the members' mean output, averaged over outputs as in the loss of that name."""

    kind = VALUES
    order = 10

    def quantity(self) -> Quantity:
        return Quantity("squared_error", "squared error", "1")

    def rate(self, averaged: AveragedValues) -> Tensor:
        return (averaged.mean - averaged.targets).square().mean(dim=1)
