"""Scores of predicted probabilities, which metrics of one network share with those of averaged predictions."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.schema import Scoring

__all__ = ["BINS", "MOST_BINS", "find_bins", "score_brier"]

BINS = Scoring.BINS
"""The number of bins of confidence, as in Guo et al. 2017, section 2."""
MOST_BINS = 10_000


def score_brier(probabilities: Tensor, labels: Tensor, dim: int = -1) -> Tensor:
    """Compute the squared distance between probabilities and the label, ``sum_c (p_c - y_c)^2`` (Brier 1950).

    Between 0 and 2; of two classes it is twice the square of one probability's error.

    Args:
        probabilities: (..., N, C), or of another order of axes.
        labels: (N,), int64, in [0, C).
        dim: the axis of classes.

    Returns:
        (..., N).

    >>> score_brier(torch.tensor([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]]), torch.tensor([0, 0, 1]))
    tensor([0.0000, 0.5000, 2.0000])
    """
    index = labels.unsqueeze(dim).expand_as(probabilities.narrow(dim, 0, 1))
    of_label = probabilities.gather(dim, index).squeeze(dim)
    # Without the label's own square, whose rounding would be all there is where the label is nearly certain.
    others = probabilities.square().sum(dim=dim) - of_label.square()
    return others.clamp(min=0) + (1 - of_label).square()


def find_bins(confidences: Tensor, bins: int = BINS) -> Tensor:
    """Find the bin of each confidence (...): of equal width, each with its lower end, the last with both.

    >>> find_bins(torch.tensor([0.0, 0.05, 0.1, 0.95, 1.0]), 10)
    tensor([0, 0, 1, 9, 9])
    """
    edges = torch.linspace(0, 1, bins + 1, dtype=confidences.dtype, device=confidences.device)
    return torch.bucketize(confidences.contiguous(), edges[1:-1], right=True)
