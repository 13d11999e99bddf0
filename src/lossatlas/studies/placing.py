"""Where a network lies in weight space, seen from another one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Place", "measure_place"]

PIECE = 2**20
"""How many weights are widened to 64 bits at a time."""


@dataclass(frozen=True)
class Place:
    """The place of weights w, seen from those of a centre w_c."""

    distance: float
    """The Euclidean distance ``|w - w_c|``."""
    relative_distance: float
    """``|w - w_c| / |w_c|``; NaN where the centre is zero."""
    cosine: float
    """The cosine of the angle between w and w_c; NaN where one of them is zero."""


def measure_place(weights: Tensor, centre: Tensor) -> Place:
    """Measure where weights (n,) lie, seen from those of a centre (n,).

    Sums are taken in 64 bits, and no further vector of length n is formed.

    >>> measure_place(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 0.0]))
    Place(distance=4.0, relative_distance=1.3333333333333333, cosine=0.6)
    """
    sums = torch.zeros(4, dtype=torch.float64, device=weights.device)
    for start in range(0, len(weights), PIECE):
        mine, others = (vector[start : start + PIECE].double() for vector in (weights, centre))
        sums += torch.stack(
            [(mine - others).square().sum(), others.square().sum(), mine.square().sum(), (mine * others).sum()]
        )
    apart, squared_centre, squared, product = sums.tolist()
    distance, norm, own = math.sqrt(apart), math.sqrt(squared_centre), math.sqrt(squared)
    return Place(
        distance,
        distance / norm if norm > 0 else math.nan,
        max(-1.0, min(1.0, product / (own * norm))) if own * norm > 0 else math.nan,
    )
