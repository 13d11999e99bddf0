"""The loss with its weight-decay term."""

from __future__ import annotations

from typing import Self

from torch import Tensor

from lossatlas.engine import Folded
from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.metrics.kinds.loss import MeanLoss
from lossatlas.schema import Quantity

__all__ = ["RegularisedLoss"]


class RegularisedLoss(MeanLoss):
    """The mean loss plus ``weight_decay / 2 |w|^2``, which a training with that weight decay minimises.

    Args:
        weight_decay: the coefficient, as in torch's optimisers; w are the parameters that the chart spans.
    """

    def __init__(self, weight_decay: float = 5e-4) -> None:
        self.weight_decay = weight_decay

    @classmethod
    def of(cls, argument: str) -> Self:
        try:
            weight_decay = float(argument)
        except ValueError:
            weight_decay = -1.0
        if not 0 < weight_decay < float("inf"):
            raise BadInput(f"metric 'regularised_loss:{argument}' needs a weight decay, as in regularised_loss:5e-4")
        return cls(weight_decay)

    def quantity(self, loss: Loss) -> Quantity:
        decay = f"weight decay {self.weight_decay:g}"
        return Quantity("regularised_loss", f"loss with {decay}", loss.units, record=decay)

    def value(self, folded: Folded) -> Tensor:
        return super().value(folded) + self.weight_decay / 2 * folded.squared_norms()
