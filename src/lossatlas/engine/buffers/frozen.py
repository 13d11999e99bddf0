"""The running statistics of the network in the centre, at every point."""

from __future__ import annotations

from typing import Self

from torch import nn

from lossatlas.charts import Chart
from lossatlas.data import Split
from lossatlas.engine.buffers_policy import BuffersPolicy, Prepared, Shared, find_normalisation_layers
from lossatlas.engine.private import Handed
from lossatlas.errors import BadInput

__all__ = ["FrozenStatistics"]


class FrozenStatistics(BuffersPolicy):
    """Normalise by the running statistics of the trained network in the centre of the chart."""

    record = "frozen"
    varies = False
    follows_weights = True

    @classmethod
    def for_run(cls, train: Split, eval_batch_size: int, batches: int) -> Self:
        return cls()

    def check(self, module: nn.Module, chart: Chart) -> None:
        if not chart.centred and find_normalisation_layers(module):
            raise BadInput(
                "frozen buffers need a trained network in the chart's centre, and this chart has none; "
                "lay one around a checkpoint, or use the batch or the reestimated policy"
            )

    def prepare(self, module: nn.Module, handed: Handed, chart: Chart) -> Prepared:
        return Shared(module.eval())
