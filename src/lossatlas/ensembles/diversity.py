"""How much members differ from one another, pair by pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lossatlas.ensembles.averaged import list_blocks
from lossatlas.ensembles.predictions import CLASSES, Predictions
from lossatlas.schema import InEnsemble, Quantity

__all__ = ["Diversity", "average_pairs", "measure_diversity"]


@dataclass(frozen=True, eq=False)
class Diversity:
    """One kind of difference between every two of K members."""

    quantity: Quantity
    """Name and unit."""
    values: Tensor
    """The means over rows (K, K), float64, symmetric, with zeros on the diagonal."""


def measure_diversity(
    predictions: Predictions, on_share: Callable[[float], object] = lambda _: None
) -> list[Diversity]:
    """Compute the differences between every two members, with equal weights of all rows.

    Of classes the share of rows with different labels, and the mean Jensen-Shannon divergence in nats, which are those
    of :func:`lossatlas.studies.disagreement` and :func:`lossatlas.studies.jensen_shannon`; of values the mean
    squared distance.

    Args:
        predictions: the predictions of K members.
        on_share: told which share of the rows is done.
    """
    members, rows = len(predictions), len(predictions.targets)
    classes = predictions.kind == CLASSES
    totals = torch.zeros(2 if classes else 1, members, members, dtype=torch.float64)
    for block in list_blocks(rows, members * predictions.of(0).shape[1]):
        own = predictions.some(block).double()
        if classes:
            totals[0] += _count_disagreements(own)
            totals[1] += _sum_divergences(own)
        else:
            totals[0] += _sum_squares(own)
        on_share(block.stop / rows)
    if classes:
        quantities = [
            Quantity(InEnsemble.DISAGREEMENT, "share of disagreeing labels", "1"),
            Quantity(InEnsemble.JS_DIVERGENCE, "mean Jensen-Shannon divergence", "nat"),
        ]
    else:
        quantities = [Quantity(InEnsemble.SQUARED_DIFFERENCE, "mean squared difference of outputs", "1")]
    return [Diversity(quantity, total / rows) for quantity, total in zip(quantities, totals, strict=True)]


def average_pairs(values: Tensor, count: int) -> float:
    """The mean of values (K, K) over the pairs among the first members; NaN for one."""
    if count < 2:
        return float("nan")
    return float(values[:count, :count].sum() / (count * (count - 1)))


def _count_disagreements(log_probabilities: Tensor) -> Tensor:
    """Count the rows (n,) of (K, n, C) with different labels, (K, K)."""
    labels = log_probabilities.argmax(dim=2)
    return torch.stack([(labels != own).sum(dim=1) for own in labels]).double()


def _sum_divergences(log_probabilities: Tensor) -> Tensor:
    """Sum the Jensen-Shannon divergences of (K, n, C) over rows, (K, K).

    As the entropy of the mean minus the mean of the entropies, which takes one logarithm for each pair.
    """
    probabilities = log_probabilities.softmax(dim=2)  # which float32 normalises to 1e-7
    entropies = torch.special.entr(probabilities).sum(dim=(1, 2))
    found = torch.zeros(len(probabilities), len(probabilities), dtype=torch.float64)
    for k in range(1, len(probabilities)):
        middles = (probabilities[:k] + probabilities[k]) / 2
        found[:k, k] = torch.special.entr(middles).sum(dim=(1, 2)) - (entropies[:k] + entropies[k]) / 2
    return (found + found.T).clamp_(min=0)  # rounding


def _sum_squares(values: Tensor) -> Tensor:
    """Sum the squared distances of (K, n, D) over rows, (K, K)."""
    return torch.stack([(values - own).square().sum(dim=(1, 2)) for own in values])
