"""Directions as they are drawn."""

from __future__ import annotations

from torch import Tensor

from lossatlas.directions.normalisation import Normalisation
from lossatlas.weights import Entry

__all__ = ["AsDrawn"]


class AsDrawn(Normalisation):
    """Nothing is changed."""

    touches_vectors = False

    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        return direction
