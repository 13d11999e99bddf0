"""Correlations over runs, and the spread within and between groups of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Moments", "pearson", "spearman", "spread"]

Floats = npt.NDArray[np.float64]

FEWEST = 3
"""The least number of pairs for a correlation, since any two lie on a line."""


@dataclass(frozen=True)
class Moments:
    """A pairwise quantity over pairs of one kind.

    Attributes:
        mean: The mean over the pairs that have the quantity.
        deviation: The sample standard deviation; None for a single pair.
        pairs: The number of pairs.
    """

    mean: float
    deviation: float | None
    pairs: int


def pearson(x: Floats, y: Floats) -> float | None:
    """Compute Pearson's correlation of x (N,) and y (N,), in [-1, 1].

    Pairs with a number that is not finite are left out; None where fewer than three are left, or one side is constant.
    """
    x, y = _finite(x, y)
    if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)), -1, 1))


def spearman(x: Floats, y: Floats) -> float | None:
    """Compute Spearman's correlation: Pearson's of the ranks, where equal numbers have their mean rank; None
    likewise.
    """
    x, y = _finite(x, y)
    return pearson(_ranks(x), _ranks(y))


def spread(values: Floats, groups: Sequence[str], starts: Sequence[str]) -> dict[str, Moments]:
    """Summarise a quantity of pairs of runs within groups and between groups.

    Pairs with the same initial weights are separated from the others, since these matter most.

    Args:
        values: the quantity, (R, R), symmetric; NaN where it is not defined.
        groups: the group of each run (R,).
        starts: the initial weights of each run (R,).

    Returns:
        The moments by kind of pair: ``within_same_start``, ``within_other_start``, ``between_same_start`` and
        ``between_other_start``, as far as there are such pairs.
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
    """Return the ranks (N,), from 0."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[inverse], dtype=np.float64)
