"""The norm of the gradient."""

from __future__ import annotations

from torch import Tensor

from lossatlas.engine import Derivatives
from lossatlas.losses import Loss
from lossatlas.metrics.metric import OperatorMetric
from lossatlas.schema import Quantity

__all__ = ["GradientNorm"]


class GradientNorm(OperatorMetric):
    """The Euclidean norm of the gradient of the mean loss in weight space."""

    def applies(self, loss: Loss) -> bool:
        return True

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity("gradient_norm", "gradient norm", loss.units)

    def value(self, derivatives: Derivatives) -> Tensor:
        norms: Tensor = derivatives.gradient().double().norm(dim=1)
        return norms
