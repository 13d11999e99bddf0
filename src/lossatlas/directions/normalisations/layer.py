"""Layer by layer."""

from __future__ import annotations

from torch import Tensor

from lossatlas.directions.normalisation import Normalisation
from lossatlas.weights import Entry

__all__ = ["PerLayer"]


class PerLayer(Normalisation):
    """Each parameter as long as the network's: ``d <- d |w| / |d|``."""

    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        scaled: Tensor = direction * (weights.norm() / direction.norm())
        return scaled
