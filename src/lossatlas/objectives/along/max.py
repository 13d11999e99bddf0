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

    It lies between their mean (T to infinity) and their maximum (T to 0), which is at most ``T log P`` larger. Its
    gradient is that of a mean in which the points are weighted by the softmax of ``L / T``. Few points miss a peak
    between them: sample more than for a mean.

    Args:
        points: how many points a step samples, see :class:`~lossatlas.objectives.on_curve.OnCurve`.
        temperature: T, in the unit of the loss. If it is as large as the losses, the objective is nearly their mean.
        weight_decay: the coefficient of the weight decay on sampled points, see there, too.

    Raises:
        BadInput: the temperature is not positive, or there are fewer than two points.

    Example:
        >>> import lossatlas as la
        >>> sampled = la.Maximum(points=6, temperature=0.05).sample(seed=0, step=0, progress=0.0, running={})
        >>> sampled.coords.shape
        torch.Size([6, 1])
    """

    def __init__(self, points: int = 8, *, temperature: float = 0.01, weight_decay: float = 0.0) -> None:
        super().__init__(points, weight_decay=weight_decay)
        if not 0 < temperature < math.inf:
            raise BadInput(f"the temperature of a soft maximum is {temperature}; expected a positive number")
        if points < 2:
            raise BadInput("a maximum over 1 point is its loss; expected 2 points or more per step")
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
