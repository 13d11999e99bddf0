"""The squared difference of outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.ensembles.pairs.measure import PairMeasure
from lossatlas.ensembles.predictions import VALUES
from lossatlas.schema import InEnsemble, Quantity

__all__ = ["SquaredDifference"]


class SquaredDifference(PairMeasure):
    """The squared distance of two members' outputs, summed over outputs."""

    kind = VALUES
    order = 10

    def quantity(self) -> Quantity:
        return Quantity(InEnsemble.SQUARED_DIFFERENCE, "mean squared difference of outputs", "1")

    def add_up(self, predictions: Tensor) -> Tensor:
        return torch.stack([(predictions - own).square().sum(dim=(1, 2)) for own in predictions])
