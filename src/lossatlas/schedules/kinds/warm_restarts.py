"""A learning rate that falls along half a cosine in every cycle."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import cos, log, pi

from lossatlas.bounds import Positive
from lossatlas.errors import BadInput
from lossatlas.schedules.schedule import Cycles, Schedule

__all__ = ["WarmRestarts"]

STEEPEST = log(1e12)
"""The largest logarithm of the ratio of the longest to the shortest cycle; trainings have fewer steps."""


@dataclass(frozen=True)
class WarmRestarts(Schedule):
    """A factor that falls along half a cosine from 1 to 0 in every cycle (Loshchilov & Hutter 2017, arXiv 1608.03983).

    Snapshot ensembles (Huang et al. 2017, arXiv 1704.00109) take their members at the ends of cycles.

    >>> [round(WarmRestarts(cycles=2)(progress), 12) for progress in (0.0, 0.25, 0.5)]
    [1.0, 0.5, 1.0]
    """

    cycles: Cycles = 4
    """Number of cycles."""
    growth: Positive = 1.0
    """Length of a cycle relative to the one before."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cycles * abs(log(self.growth)) > STEEPEST:
            raise BadInput(
                f"warm_restarts's growth is {self.growth:g}, so that the shortest of {self.cycles} cycles would have "
                "no step; expected one closer to 1, or fewer cycles"
            )

    def __call__(self, progress: float) -> float:
        for begin, end in pairwise((0.0, *self.lowest())):
            if progress < end:
                return (1 + cos(pi * (progress - begin) / (end - begin))) / 2
        return 0.0

    def lowest(self) -> tuple[float, ...]:
        lengths = [self.growth**k for k in range(self.cycles)]
        *_, whole = ends = [*accumulate(lengths)]
        return (*(end / whole for end in ends[:-1]), 1.0)
