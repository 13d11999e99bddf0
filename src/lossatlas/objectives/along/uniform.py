"""The expected loss for a uniform curve parameter t."""

from __future__ import annotations

from typing import Self

from torch import Tensor

from lossatlas.charts import Curve
from lossatlas.objectives.on_curve import OnCurve, PointsOnCurve
from lossatlas.types import Outputs

__all__ = ["Uniform"]


class Uniform(OnCurve):
    """``E L(phi(t))`` for t uniform in [0, 1] (Garipov et al. 2018, equation 2), estimated without bias.

    Args:
        points: how many points a step samples, see :class:`~lossatlas.objectives.on_curve.OnCurve`.
        weight_decay: the coefficient of the weight decay on sampled points, likewise.

    Example:
        >>> import lossatlas as la
        >>> sampled = la.Uniform(points=4).sample(seed=0, step=0, progress=0.0, running={})
        >>> sampled.coords.shape
        torch.Size([4, 1])
    """

    @classmethod
    def of_curve(cls, curve: Curve, points: int, weight_decay: float, temperature: float) -> Self:
        return cls(points, weight_decay=weight_decay)

    def sample_at(self, coords: Tensor) -> PointsOnCurve:
        return _Points(coords, self.weight_decay)


class _Points(PointsOnCurve):
    def value(self, outputs: Outputs, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        return (losses @ shares).sum() / len(self.coords)
