"""All networks at once with layers as batched products, for linear layers and where grouped convolutions are slow."""

from __future__ import annotations

from contextlib import AbstractContextManager

from torch import Tensor

from lossatlas.engine.layer import StackedLayers
from lossatlas.engine.strategies.vmap import Vmap
from lossatlas.types import Params

__all__ = ["Batched"]


class Batched(Vmap):
    """Like ``vmap``, with the rules for layers in :mod:`lossatlas.engine.layers`.

    Layers whose input is shared by all networks are computed at the controls, if these are fewer than the points.
    """

    rank = 4

    def layers(self, params: Params, coefficients: Tensor, controls: Params) -> AbstractContextManager[object]:
        return StackedLayers(params, coefficients, controls)
