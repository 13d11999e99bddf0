"""Correlations over runs, and spreads within and between groups of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Moments", "pearson", "spearman", "spread"]

Floats = npt.NDArray[np.float64]

FEWEST = 3
"""Pairs of numbers that a correlation takes: any two lie on a line."""


@dataclass(frozen=True)
class Moments:
    """A pairwise quantity over pairs of one kind.

    Attributes:
        mean: over the pairs that have the quantity.
        deviation: their standard deviation, the sample's; None of a single pair.
        pairs: how many there are.
    """

    mean: float
    deviation: float | None
    pairs: int


def pearson(x: Floats, y: Floats) -> float | None:
    """Pearson's correlation of x (N,) and y (N,), in [-1, 1].

    Pairs with a number that is not finite are left out; None where fewer than three are left, or one side is constant.
    """
    x, y = _finite(x, y)
    if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)), -1, 1))


def spearman(x: Floats, y: Floats) -> float | None:
    """Spearman's correlation: Pearson's of the ranks, equal numbers sharing the mean of theirs; None as there."""
    x, y = _finite(x, y)
    return pearson(_ranks(x), _ranks(y))


def spread(values: Floats, groups: Sequence[str], starts: Sequence[str]) -> dict[str, Moments]:
    """How far runs of one group are from each other, and from those of other groups.

    Where two runs started matters more than anything else, so pairs from one start are kept apart from the others.

    Args:
        values: (R, R), symmetric; NaN where a pair has no such number.
        groups: the group of each run (R,).
        starts: the initial weights of each run (R,).

    Returns:
        By kind of pair: ``within_same_start``, ``within_other_start``, ``between_same_start``, ``between_other_start``,
        those that there are.
    """
    rows, columns = np.triu_indices(len(groups), k=1)
    grouped, started = (np.asarray(labels, dtype=np.str_) for labels in (groups, starts))
    kinds = np.where(grouped[rows] == grouped[columns], "within", "between")
    origins = np.where(started[rows] == started[columns], "same_start", "other_start")
    pairs = np.asarray(values, dtype=np.float64)[rows, columns]
    found = {}
    for kind in ("within", "between"):
        for origin in ("same_start", "other_start"):
            chosen = pairs[(kinds == kind) & (origins == origin) & np.isfinite(pairs)]
            if len(chosen):
                found[f"{kind}_{origin}"] = _moments(chosen)
    return found


def _moments(values: Floats) -> Moments:
    return Moments(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None, len(values))


def _finite(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    x, y = (np.asarray(values, dtype=np.float64) for values in (x, y))
    known = np.isfinite(x) & np.isfinite(y)
    return x[known], y[known]


def _ranks(values: Floats) -> Floats:
    """Ranks (N,) from 0."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[inverse], dtype=np.float64)
