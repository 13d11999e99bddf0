"""All networks at once, layers as batched products: for linear layers, and where grouped convolutions are slow."""

from __future__ import annotations

from torch import Tensor

from lossatlas.engine.layer import StackedLayers
from lossatlas.engine.network import Network
from lossatlas.engine.strategies.vmap import Vmap
from lossatlas.types import Batch, Outputs, Params

__all__ = ["Batched"]


class Batched(Vmap):
    """Like ``vmap``, but layers that have a rule in :mod:`lossatlas.engine.layers` go by that."""

    def one(self, network: Network, params: Params, batch: Batch) -> tuple[Outputs, Tensor]:
        with StackedLayers(params.values()):
            return network(params, batch)
