"""Metrics that are means over examples."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from lossatlas.engine import Evaluation, Folded, StreamingMetric

__all__ = ["MeanMetric"]


class MeanMetric(StreamingMetric):
    """The mean of one number per example; of a random subset its standard error is known, too."""

    has_standard_error = True

    @abstractmethod
    def per_example(self, evaluation: Evaluation) -> Tensor:
        """The numbers (p, B) of a batch."""

    def sums(self, evaluation: Evaluation) -> Tensor:
        values = self.per_example(evaluation).double()
        return torch.stack([values.sum(dim=1), values.square().sum(dim=1)], dim=1)

    def value(self, folded: Folded) -> Tensor:
        return folded.sums[:, 0] / folded.examples

    def standard_error(self, folded: Folded) -> Tensor:
        """Of the mean of a sample without replacement: sqrt(s^2 / n (1 - n / N)) (Cochran 1977, section 2.6)."""
        n = folded.examples
        mean, squares = folded.sums.unbind(dim=1)
        variance = ((squares - mean.square() / n) / (n - 1)).clamp(min=0)
        return (variance / n * (1 - n / folded.population)).sqrt()
