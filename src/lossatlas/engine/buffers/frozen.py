"""The statistics of the centre, at every point."""

from __future__ import annotations

from torch import nn

from lossatlas.engine.buffers_policy import BuffersPolicy, normalisations_with_statistics
from lossatlas.errors import BadInput

__all__ = ["FrozenStatistics"]


class FrozenStatistics(BuffersPolicy):
    """Normalise by the running statistics of the trained network in the chart's centre."""

    def check(self, module: nn.Module, has_centre: bool) -> None:
        if not has_centre and normalisations_with_statistics(module):
            raise BadInput(
                "frozen buffers need a trained network in the chart's centre, and this chart starts at random; "
                "give a checkpoint or use the batch policy"
            )

    def prepare(self, module: nn.Module) -> nn.Module:
        return module.eval()
