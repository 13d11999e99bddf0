"""The Brier score."""

from __future__ import annotations

from torch import Tensor

from lossatlas.engine import Evaluation
from lossatlas.losses import Loss
from lossatlas.metrics.mean import MeanMetric
from lossatlas.metrics.probabilities import score_brier
from lossatlas.schema import Quantity

__all__ = ["Brier"]


class Brier(MeanMetric):
    """The squared distance between probabilities and the label, ``sum_c (p_c - y_c)^2``: from 0 to 2 (Brier 1950).

    It is the mean over all examples, or over all their positions whose label counts.
    """

    def applies(self, loss: Loss) -> bool:
        return loss.classifies

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity("brier", "Brier score", "1")

    def per_example(self, evaluation: Evaluation) -> Tensor:
        found = evaluation.labelled
        points, examples, classes = len(found.logits), len(found.labels), found.logits.shape[-1]
        counted = found.counted.reshape(-1)
        labels = found.labels.reshape(-1).where(counted, 0)  # which are arbitrary where they do not count
        probabilities = found.logits.reshape(points, -1, classes).double().softmax(dim=-1)
        scores = score_brier(probabilities, labels).where(counted, 0)
        return scores.reshape(points, examples, -1).sum(dim=2) / evaluation.positions.clamp(min=1)

    def weights(self, evaluation: Evaluation) -> Tensor:
        return evaluation.positions
