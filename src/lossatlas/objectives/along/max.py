"""The highest loss on the curve."""

from __future__ import annotations

import math
from typing import Self

from torch import Tensor

from lossatlas.charts import Curve
from lossatlas.errors import BadInput
from lossatlas.objectives.on_curve import OnCurve, PointsOnCurve
from lossatlas.types import Outputs

__all__ = ["Maximum"]


class Maximum(OnCurve):
    """``T log mean_i exp(L(phi(t_i)) / T)``: the soft maximum of the losses at a step's points.

    It lies between their mean (T to infinity) and their maximum (T to 0), the latter at most ``T log P`` above it. Its
    gradient is that of a mean in which the points count by the softmax of ``L / T``. With few points it says nothing
    of a peak between them: draw more than for a mean.

    Args:
        points: see :class:`~lossatlas.objectives.on_curve.OnCurve`.
        temperature: T, in the loss's units. One near the losses or above them makes it nearly their mean.
        weight_decay: likewise.

    Raises:
        BadInput: a temperature that is not positive, or fewer than two points, whose maximum is their mean.
    """

    def __init__(self, points: int = 8, *, temperature: float = 0.01, weight_decay: float = 0.0) -> None:
        super().__init__(points, weight_decay=weight_decay)
        if not 0 < temperature < math.inf:
            raise BadInput(f"the temperature of a soft maximum is {temperature}; expected a positive number")
        if points < 2:
            raise BadInput("a maximum over 1 point is its loss; draw 2 points or more a step")
        self.temperature = temperature

    @classmethod
    def of_curve(cls, curve: Curve, points: int, weight_decay: float, temperature: float) -> Self:
        return cls(points, temperature=temperature, weight_decay=weight_decay)

    def sample_at(self, coords: Tensor) -> PointsOnCurve:
        return _Points(coords, self.weight_decay, self.temperature)


class _Points(PointsOnCurve):
    coupled = True
    sees_outputs = False

    def __init__(self, coords: Tensor, weight_decay: float, temperature: float) -> None:
        super().__init__(coords, weight_decay)
        self._temperature = temperature

    def value(self, outputs: Outputs, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        scaled = (losses @ shares) / self._temperature
        return self._temperature * (scaled.logsumexp(dim=0) - math.log(len(self.coords)))
