"""The norm of the gradient."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lossatlas.engine import Derivatives
from lossatlas.losses import Loss
from lossatlas.metrics.computation import Computation
from lossatlas.metrics.metric import OperatorMetric
from lossatlas.schema import Quantity

__all__ = ["GradientNorm"]


@dataclass(frozen=True)
class Gradient(Computation):
    """The gradient (p, n) of the mean loss in weight space."""

    name = "gradient_norm"

    def __call__(self, derivatives: Derivatives) -> Tensor:
        return derivatives.gradient()


class GradientNorm(OperatorMetric):
    """The Euclidean norm of the gradient of the mean loss in all parameters that vary, whatever curvature is taken in.

    It is computed by itself, in one pass over the split, so that surveys without curvature need no graphs for it.
    """

    computation = Gradient()

    def applies(self, loss: Loss) -> bool:
        return True

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity("gradient_norm", "gradient norm", loss.units)

    def value(self, gradient: Tensor) -> Tensor:
        norms: Tensor = gradient.double().norm(dim=1)
        return norms
