"""Accuracy."""

from __future__ import annotations

from torch import Tensor

from lossatlas.engine import Evaluation
from lossatlas.losses import Loss
from lossatlas.metrics.hits import find_hits
from lossatlas.metrics.mean import MeanMetric
from lossatlas.schema import Quantity

__all__ = ["Accuracy"]


class Accuracy(MeanMetric):
    """The fraction of predictions that are correct, over all examples or all their positions whose label counts."""

    def applies(self, loss: Loss) -> bool:
        return loss.classifies

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity("accuracy", "accuracy", "1")

    def per_example(self, evaluation: Evaluation) -> Tensor:
        right, counted, _ = find_hits(evaluation)
        return right.sum(dim=2).double() / counted.sum(dim=1).clamp(min=1)

    def weights(self, evaluation: Evaluation) -> Tensor:
        return evaluation.positions
