"""The interface of measures of how much two members differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from lossatlas.ensembles.predictions import Kind
from lossatlas.registry import Registry
from lossatlas.schema import Quantity

__all__ = ["PAIR_MEASURES", "PairMeasure", "make_pair_measures"]


class PairMeasure(ABC):
    """A number that says how much two members' predictions differ: the mean of one number per row."""

    kind: ClassVar[Kind]
    """Which predictions it is of."""
    order: ClassVar[int] = 100
    """Its place among the measures of its kind: those of lower numbers are read first."""

    @abstractmethod
    def quantity(self) -> Quantity:
        """Name and unit."""

    @abstractmethod
    def add_up(self, predictions: Tensor) -> Tensor:
        """Sum the numbers of some rows for every two members, (K, K), symmetric and zero on the diagonal.

        Args:
            predictions: of K members for n rows, (K, n, C or D), float64.
        """


PAIR_MEASURES: Registry[type[PairMeasure]] = Registry("measure of diversity", "lossatlas.ensembles.pairs.kinds")


def make_pair_measures(kind: Kind) -> list[PairMeasure]:
    """Make the measures of a kind of predictions; those that are read first come first."""
    names = sorted(PAIR_MEASURES, key=lambda name: (PAIR_MEASURES[name].order, name))
    return [PAIR_MEASURES[name]() for name in names if PAIR_MEASURES[name].kind == kind]
