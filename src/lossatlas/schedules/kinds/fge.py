"""The learning rate of fast geometric ensembling: a training, then triangular cycles."""

# Annotations are evaluated here, not where a subclass is defined: the command line reads them.

from dataclasses import dataclass
from typing import ClassVar

from lossatlas.bounds import Share
from lossatlas.schedules.cycled import CycledAfter

__all__ = ["FastGeometric"]


@dataclass(frozen=True)
class FastGeometric(CycledAfter):
    """A factor of 1 that falls to ``high`` at ``begin``, then cycles from ``high`` to ``low`` and back.

    Fast geometric ensembles (Garipov et al. 2018, arXiv 1802.10026, section 5) take a member in the middle of each
    cycle, where the rate is lowest. Step ``i`` of a cycle of an even number ``c`` of steps, counted from 1, is at
    ``t = i / c`` of it: ``high`` at 1, ``low`` at 1/2, linear in between. The defaults are those of the authors'
    code for residual networks, whose rate is 0.1 at first.

    >>> schedule = FastGeometric(cycles=2, begin=0.8, high=0.5, low=0.0)
    >>> [round(schedule.at_step(step, 40), 3) for step in range(32, 40)]
    [0.25, 0.0, 0.25, 0.5, 0.25, 0.0, 0.25, 0.5]
    >>> schedule.list_members(40)
    [34, 38]
    """

    low: Share = 0.005
    """Lowest factor of the learning rate in a cycle."""

    multiple: ClassVar[int] = 2
    lowest_at: ClassVar[float] = 0.5

    def cycle(self, place: float) -> float:
        return self.low + (self.high - self.low) * abs(2.0 * place - 1.0)
