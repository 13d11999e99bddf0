"""How much members differ from one another, pair by pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lossatlas.ensembles.averaged import list_blocks
from lossatlas.ensembles.pairs import make_pair_measures
from lossatlas.ensembles.predictions import Predictions
from lossatlas.schema import Quantity

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

    What is measured are the :data:`lossatlas.ensembles.pairs.PAIR_MEASURES` of the kind of predictions.

    Args:
        predictions: the predictions of K members.
        on_share: told which share of the rows is done.
    """
    members, rows = len(predictions), len(predictions.targets)
    measures = make_pair_measures(predictions.kind)
    totals = torch.zeros(len(measures), members, members, dtype=torch.float64)
    for block in list_blocks(rows, members * predictions.rows.width):
        own = predictions.some(block).double()
        for total, measure in zip(totals, measures, strict=True):
            total += measure.add_up(own)
        on_share(block.stop / rows)
    return [Diversity(measure.quantity(), total / rows) for measure, total in zip(measures, totals, strict=True)]


def average_pairs(values: Tensor, count: int) -> float:
    """The mean of values (K, K) over the pairs among the first members; NaN for one."""
    if count < 2:
        return float("nan")
    return float(values[:count, :count].sum() / (count * (count - 1)))
