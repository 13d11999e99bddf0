"""Running statistics of trained networks, interpolated like their weights."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from lossatlas.charts import Chart
from lossatlas.data import Split
from lossatlas.engine.buffers_policy import (
    BuffersPolicy,
    EachPoint,
    Prepared,
    find_normalisation_layers,
)
from lossatlas.engine.private import Handed
from lossatlas.errors import BadInput
from lossatlas.types import Params

__all__ = ["InterpolatedStatistics"]


class InterpolatedStatistics(BuffersPolicy):
    """Normalise by ``coefficients @ statistics``, the interpolated running statistics of the networks of a chart."""

    record = "interpolated"
    varies = True
    follows_weights = True

    @classmethod
    def for_run(cls, train: Split, eval_batch_size: int, batches: int) -> Self:
        return cls()

    def check(self, module: nn.Module, chart: Chart) -> None:
        if not set(_names(module)) <= chart.statistics.keys():
            raise BadInput(
                "interpolated buffers need a chart between trained networks that keeps their running statistics, which "
                "a curve or a plane does not; use the batch or the reestimated policy"
            )

    def prepare(self, module: nn.Module, handed: Handed, chart: Chart) -> Prepared:
        # Other buffers stay those of the module: a mask of infinities, say, cannot be interpolated.
        return _Interpolated(module.eval(), {name: chart.statistics[name] for name in _names(module)})


def _names(module: nn.Module) -> list[str]:
    parts = find_normalisation_layers(module)
    return [f"{part}.{what}" for part in parts for what in ("running_mean", "running_var")]


class _Interpolated(Prepared):
    def __init__(self, module: nn.Module, statistics: Params) -> None:
        self.module = module
        self._statistics = statistics

    def buffers(self, each_point: EachPoint, params: Params, coefficients: Tensor) -> Params:
        return {
            name: (coefficients @ values.to(coefficients).flatten(1)).view(-1, *values.shape[1:])
            for name, values in self._statistics.items()
        }
