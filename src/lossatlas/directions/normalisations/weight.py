"""Weight by weight."""

from __future__ import annotations

from torch import Tensor

from lossatlas.directions.normalisation import Normalisation
from lossatlas.weights import Entry

__all__ = ["PerWeight"]


class PerWeight(Normalisation):
    """Each number times the network's: ``d <- d w``."""

    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        return direction * weights
