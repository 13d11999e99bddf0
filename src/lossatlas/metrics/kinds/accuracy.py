"""Accuracy."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lossatlas.engine import StreamingMetric
from lossatlas.losses import Loss
from lossatlas.schema import Quantity
from lossatlas.types import Outputs

__all__ = ["Accuracy"]


class Accuracy(StreamingMetric):
    """The fraction of examples whose largest logit is the label's; inner positions count alike."""

    def applies(self, loss: Loss) -> bool:
        return loss.classifies

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity("accuracy", "accuracy", "1")

    def sums(self, outputs: Outputs, losses: Tensor, targets: Any) -> Tensor:
        hits: Tensor = (outputs.argmax(dim=-1) == targets).double()
        return hits.reshape(*hits.shape[:2], -1).mean(dim=2).sum(dim=1)

    def value(self, sums: Tensor, examples: int) -> Tensor:
        return sums / examples
