"""Filter by filter."""

from __future__ import annotations

from torch import Tensor

from lossatlas.directions.normalisation import Normalisation
from lossatlas.weights import Entry

__all__ = ["PerFilter"]

TINY = 1e-10
"""As in the authors' code, beside the length of a drawn filter."""


class PerFilter(Normalisation):
    """Each filter, a slice of dimension 0, as long as the network's: ``d_i <- d_i |w_i| / (|d_i| + 1e-10)``."""

    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        drawn, own = (values.view(entry.filter_count, -1) for values in (direction, weights))
        lengths = own.norm(dim=1, keepdim=True) / (drawn.norm(dim=1, keepdim=True) + TINY)
        scaled: Tensor = drawn * lengths
        return scaled.reshape(-1)
