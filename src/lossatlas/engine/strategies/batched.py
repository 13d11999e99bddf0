"""All networks at once, layers as batched products: for linear layers, and where grouped convolutions are slow."""

from __future__ import annotations

from contextlib import AbstractContextManager

from torch import Tensor

from lossatlas.engine.layer import StackedLayers
from lossatlas.engine.strategies.vmap import Vmap
from lossatlas.types import Params

__all__ = ["Batched"]


class Batched(Vmap):
    """Like ``vmap``, but layers that have a rule in :mod:`lossatlas.engine.layers` go by that.

    Layers whose input all networks share are computed at the controls where these are fewer.
    """

    rank = 4

    def layers(self, params: Params, coefficients: Tensor, controls: Params) -> AbstractContextManager[object]:
        return StackedLayers(params, coefficients, controls)
