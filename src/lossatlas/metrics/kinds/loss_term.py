"""One term of a loss that is a sum of several."""

from __future__ import annotations

from typing import Self

from torch import Tensor

from lossatlas.engine import Evaluation
from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.metrics.mean import MeanMetric
from lossatlas.schema import Quantity

__all__ = ["LossTerm"]


class LossTerm(MeanMetric):
    """The mean of one term of a loss that is a sum of several, without the factor of the term.

    Args:
        term: the name of the term.
    """

    def __init__(self, term: str = "") -> None:
        if not term:
            raise BadInput("metric 'loss_term' needs the name of a term, as in loss_term:physics")
        self.term = term

    @classmethod
    def of(cls, argument: str) -> Self:
        return cls(argument)

    def applies(self, loss: Loss) -> bool:
        return self.term in loss.terms

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity(f"loss_{self.term}", f"loss term {self.term!r}", loss.units)

    def per_example(self, evaluation: Evaluation) -> Tensor:
        return evaluation.terms[self.term]

    def weights(self, evaluation: Evaluation) -> Tensor:
        return evaluation.weights
