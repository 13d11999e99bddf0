"""A learning rate that falls and rises periodically."""

from __future__ import annotations

from dataclasses import dataclass
from math import modf

from lossatlas.bounds import Share
from lossatlas.schedules.schedule import Cycles, Schedule

__all__ = ["Cyclic"]


@dataclass(frozen=True)
class Cyclic(Schedule):
    """A factor that goes linearly from 1 to ``low`` and back in every cycle, as in fast geometric ensembling.

    Garipov et al. 2018 (arXiv 1802.10026), section 5; members of an ensemble are taken in the middle of a cycle.

    >>> [Cyclic(cycles=1, low=0.5)(progress) for progress in (0.0, 0.25, 0.5, 0.75)]
    [1.0, 0.75, 0.5, 0.75]
    """

    cycles: Cycles = 4
    """Number of cycles."""
    low: Share = 0.01
    """Lowest factor of the learning rate."""

    def __call__(self, progress: float) -> float:
        place, _ = modf(progress * self.cycles)
        return 1.0 - (1.0 - self.low) * (1.0 - abs(2.0 * place - 1.0))

    def lowest(self) -> tuple[float, ...]:
        return tuple((k + 0.5) / self.cycles for k in range(self.cycles))
