"""Accuracy class by class."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lossatlas.engine import Evaluation, Folded, StreamingMetric
from lossatlas.losses import Loss
from lossatlas.metrics.hits import hits
from lossatlas.schema import CLASSES, Quantity

__all__ = ["ClassAccuracy"]


class ClassAccuracy(StreamingMetric):
    """Of the examples (or inner positions) of each class the fraction whose largest logit is theirs.

    As many classes as there are logits; NaN for one that has no example.
    """

    def applies(self, loss: Loss) -> bool:
        return loss.classifies

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity("class_accuracy", "accuracy of a class", "1", CLASSES)

    def sums(self, evaluation: Evaluation) -> Tensor:
        classes = evaluation.outputs.shape[-1]
        right, counted = hits(evaluation)
        labels = one_hot(evaluation.targets.clamp(min=0).flatten(), classes).double()
        right, counted = right.flatten(1), counted.flatten(1)
        return torch.stack([right @ labels, (counted @ labels).expand(len(right), -1)], dim=2)

    def value(self, folded: Folded) -> Tensor:
        right, counted = folded.sums.unbind(dim=2)
        return right / counted
