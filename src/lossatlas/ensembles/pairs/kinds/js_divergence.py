"""The Jensen-Shannon divergence."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.ensembles.pairs.measure import PairMeasure
from lossatlas.ensembles.predictions import CLASSES
from lossatlas.schema import InEnsemble, Quantity

__all__ = ["JensenShannon"]


class JensenShannon(PairMeasure):
    """The mean Jensen-Shannon divergence of two members' probabilities, as :func:`lossatlas.studies.jensen_shannon`.

    It is the entropy of the mean minus the mean of the entropies, which takes one logarithm for each pair.
    """

    kind = CLASSES
    order = 20

    def quantity(self) -> Quantity:
        return Quantity(InEnsemble.JS_DIVERGENCE, "mean Jensen-Shannon divergence", "nat")

    def add_up(self, predictions: Tensor) -> Tensor:
        probabilities = predictions.softmax(dim=2)  # which float32 normalises to 1e-7
        entropies = torch.special.entr(probabilities).sum(dim=(1, 2))
        found = torch.zeros(len(probabilities), len(probabilities), dtype=torch.float64)
        for k in range(1, len(probabilities)):
            middles = (probabilities[:k] + probabilities[k]) / 2
            found[:k, k] = torch.special.entr(middles).sum(dim=(1, 2)) - (entropies[:k] + entropies[k]) / 2
        return (found + found.T).clamp_(min=0)  # rounding
