"""The accuracy within each class."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.engine import Evaluation, Folded, StreamingMetric
from lossatlas.losses import Loss
from lossatlas.metrics.hits import find_hits
from lossatlas.schema import CLASSES, Quantity

__all__ = ["ClassAccuracy"]


class ClassAccuracy(StreamingMetric):
    """The fraction of predictions that are correct, among the examples or positions of each class.

    One value per logit; NaN for a class that has no example.
    """

    def applies(self, loss: Loss) -> bool:
        return loss.classifies

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity("class_accuracy", "accuracy of a class", "1", CLASSES)

    def length(self, evaluation: Evaluation) -> int:
        return evaluation.labelled.logits.shape[-1]

    def sums(self, evaluation: Evaluation) -> Tensor:
        classes = evaluation.labelled.logits.shape[-1]
        right, counted, labels = find_hits(evaluation)
        there = torch.bincount(labels[counted], minlength=classes)
        found = torch.stack([torch.bincount(labels[at_point], minlength=classes) for at_point in right])
        return torch.stack([found, there.expand_as(found)], dim=2).double()

    def value(self, folded: Folded) -> Tensor:
        right, counted = folded.sums.unbind(dim=2)
        return right / counted
