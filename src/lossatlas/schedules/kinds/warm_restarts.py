"""A learning rate that falls along half a cosine again and again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import cos, pi

from lossatlas.errors import BadInput
from lossatlas.schedules.schedule import Schedule

__all__ = ["WarmRestarts"]


@dataclass(frozen=True)
class WarmRestarts(Schedule):
    """Half a cosine from 1 to 0 in every cycle (Loshchilov & Hutter 2017, arXiv 1608.03983).

    Snapshot ensembles (Huang et al. 2017, arXiv 1704.00109) take their members at the ends of cycles.

    >>> [round(WarmRestarts(cycles=2)(progress), 12) for progress in (0.0, 0.25, 0.5)]
    [1.0, 0.5, 1.0]
    """

    cycles: int = 4
    """How often."""
    growth: float = 1.0
    """How many times as long a cycle is as the one before."""

    def __post_init__(self) -> None:
        if self.cycles < 1 or not self.growth > 0:
            raise BadInput(
                f"{self.cycles} cycles that grow by {self.growth}; expected at least 1 and a positive factor"
            )

    def __call__(self, progress: float) -> float:
        for begin, end in pairwise((0.0, *self.lowest())):
            if progress < end:
                return (1 + cos(pi * (progress - begin) / (end - begin))) / 2
        return 0.0

    def lowest(self) -> tuple[float, ...]:
        lengths = [self.growth**k for k in range(self.cycles)]
        ends = [end / sum(lengths) for end in accumulate(lengths)]
        return (*ends[:-1], 1.0)
