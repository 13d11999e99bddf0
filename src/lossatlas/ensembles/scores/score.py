"""The interface of scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from lossatlas.ensembles.predictions import Kind
from lossatlas.registry import Registry
from lossatlas.schema import Quantity

__all__ = ["SCORES", "Score", "make_scores"]


class Score(ABC):
    """A number that says how good predictions are: the mean of one number per row, or of bins of rows.

    With bins it is ``sum_b |sum of the numbers in bin b| / N``.
    """

    kind: ClassVar[Kind]
    """Which predictions it is of."""
    order: ClassVar[int] = 100
    """Its place among the scores of its kind: those of lower numbers are read first."""
    binned: ClassVar[bool] = False
    """Whether it is one of bins, and not a mean."""

    def __init__(self, bins: int) -> None:
        self.bins = bins

    @abstractmethod
    def quantity(self) -> Quantity:
        """Name and unit."""

    @abstractmethod
    def rate(self, averaged: Any) -> Tensor:
        """The number of each row (N,), float64, of averaged classes or values as :attr:`kind` says."""

    def place(self, averaged: Any) -> Tensor | None:
        """The bin of each row (N,), int64; None for a score that is a mean."""
        return None


SCORES: Registry[type[Score]] = Registry("score", "lossatlas.ensembles.scores.kinds")


def make_scores(kind: Kind, bins: int) -> dict[str, Score]:
    """Make the scores of a kind of predictions, by name; those that are read first come first.

    Args:
        kind: the kind of predictions.
        bins: the number of bins of those that have bins.
    """
    names = sorted(SCORES, key=lambda name: (SCORES[name].order, name))
    return {name: SCORES[name](bins) for name in names if SCORES[name].kind == kind}
