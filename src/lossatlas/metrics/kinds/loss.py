"""The mean loss."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lossatlas.engine import StreamingMetric
from lossatlas.losses import Loss
from lossatlas.schema import Quantity
from lossatlas.types import Outputs

__all__ = ["MeanLoss"]


class MeanLoss(StreamingMetric):
    """The mean of the per-example losses."""

    def applies(self, loss: Loss) -> bool:
        return True

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity("loss", "mean loss", loss.units)

    def sums(self, outputs: Outputs, losses: Tensor, targets: Any) -> Tensor:
        return losses.sum(dim=1)

    def value(self, sums: Tensor, examples: int) -> Tensor:
        return sums / examples
