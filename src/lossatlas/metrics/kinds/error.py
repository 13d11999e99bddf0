"""The error rate."""

from __future__ import annotations

from torch import Tensor

from lossatlas.engine import Evaluation
from lossatlas.losses import Loss
from lossatlas.metrics.hits import find_hits
from lossatlas.metrics.mean import MeanMetric
from lossatlas.schema import Quantity

__all__ = ["ErrorRate"]


class ErrorRate(MeanMetric):
    """The fraction of predictions that are wrong: one minus the accuracy."""

    def applies(self, loss: Loss) -> bool:
        return loss.classifies

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity("error", "error rate", "1")

    def per_example(self, evaluation: Evaluation) -> Tensor:
        right, counted, _ = find_hits(evaluation)
        positions = counted.sum(dim=1)
        return (positions - right.sum(dim=2)).double() / positions.clamp(min=1)

    def weights(self, evaluation: Evaluation) -> Tensor:
        return evaluation.positions
