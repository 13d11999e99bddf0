"""The expected loss of a uniform t."""

from __future__ import annotations

from typing import Self

from torch import Tensor

from lossatlas.charts import Curve
from lossatlas.objectives.on_curve import OnCurve, PointsOnCurve
from lossatlas.types import Outputs

__all__ = ["Uniform"]


class Uniform(OnCurve):
    """``E L(phi(t))`` for t uniform in [0, 1] (Garipov et al. 2018, equation 2). Its estimate has no bias."""

    @classmethod
    def of_curve(cls, curve: Curve, points: int, weight_decay: float, temperature: float) -> Self:
        return cls(points, weight_decay=weight_decay)

    def sample_at(self, coords: Tensor) -> PointsOnCurve:
        return _Points(coords, self.weight_decay)


class _Points(PointsOnCurve):
    def value(self, outputs: Outputs, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        return (losses @ shares).sum() / len(self.coords)
