"""The mean loss."""

from __future__ import annotations

from torch import Tensor

from lossatlas.engine import Evaluation
from lossatlas.losses import Loss
from lossatlas.metrics.mean import MeanMetric
from lossatlas.schema import Quantity

__all__ = ["MeanLoss"]


class MeanLoss(MeanMetric):
    """The mean of the per-example losses, weighted as the loss says."""

    def applies(self, loss: Loss) -> bool:
        return True

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity("loss", "mean loss", loss.units)

    def per_example(self, evaluation: Evaluation) -> Tensor:
        return evaluation.losses

    def weights(self, evaluation: Evaluation) -> Tensor:
        return evaluation.weights
