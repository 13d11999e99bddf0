"""The expected calibration error."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lossatlas.engine import Evaluation, Folded, StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.metrics.hits import find_hits
from lossatlas.metrics.probabilities import BINS, MOST_BINS, find_bins
from lossatlas.schema import Quantity

__all__ = ["CalibrationError"]


class CalibrationError(StreamingMetric):
    """The expected calibration error: how far confidence and accuracy are apart, within bins of equal confidence.

    ``sum_b n_b / n |accuracy_b - confidence_b|`` (Guo et al. 2017, equation 3) with the largest probability as
    confidence, in bins of equal width that have their lower ends; a confidence of 1 lies in the last bin. Its bias
    depends on the bins and on the number of examples: compare only what has the same of both.

    Args:
        bins: how many bins there are.
    """

    def __init__(self, bins: int = BINS) -> None:
        if isinstance(bins, bool) or not isinstance(bins, int) or not 1 <= bins <= MOST_BINS:
            raise self._refuse(bins)
        self.bins = bins

    @classmethod
    def of(cls, argument: str) -> Self:
        try:
            return cls(int(argument))
        except ValueError:
            raise cls._refuse(argument) from None

    @staticmethod
    def _refuse(bins: object) -> BadInput:
        return BadInput(f"{bins!r} is not a number of bins of ece; expected one from 1 to {MOST_BINS}, as in ece:15")

    def applies(self, loss: Loss) -> bool:
        return loss.classifies

    def quantity(self, loss: Loss) -> Quantity:
        name = "ece" if self.bins == BINS else f"ece_{self.bins}"
        return Quantity(name, f"expected calibration error ({self.bins} bins)", "1", record=f"{self.bins} bins")

    def sums(self, evaluation: Evaluation) -> Tensor:
        logits = evaluation.labelled.logits
        right, counted, _ = find_hits(evaluation)
        confidences = logits.double().softmax(dim=-1).amax(dim=-1).reshape(right.shape)
        gaps = torch.where(counted, right.double() - confidences, 0).flatten(1)
        sums = gaps.new_zeros(len(gaps), self.bins).scatter_add(1, find_bins(confidences, self.bins).flatten(1), gaps)
        return torch.cat([sums, counted.sum().to(sums).expand(len(sums), 1)], dim=1)

    def value(self, folded: Folded) -> Tensor:
        """The error (p,); NaN where outputs are not numbers, or no label counts."""
        return folded.sums[:, :-1].abs().sum(dim=1) / folded.sums[:, -1]
