"""The share of different labels."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.ensembles.pairs.measure import PairMeasure
from lossatlas.ensembles.predictions import CLASSES
from lossatlas.schema import InEnsemble, Quantity

__all__ = ["Disagreement"]


class Disagreement(PairMeasure):
    """The share of rows to which two members give different labels, as :func:`lossatlas.studies.disagreement`."""

    kind = CLASSES
    order = 10

    def quantity(self) -> Quantity:
        return Quantity(InEnsemble.DISAGREEMENT, "share of disagreeing labels", "1")

    def add_up(self, predictions: Tensor) -> Tensor:
        labels = predictions.argmax(dim=2)
        return torch.stack([(labels != own).sum(dim=1) for own in labels]).double()
