"""The cyclic learning rate of stochastic weight averaging: a training, then a saw-tooth."""

# Annotations are evaluated here, not where a subclass is defined: the command line reads them.

from dataclasses import dataclass

from lossatlas.bounds import BelowOne
from lossatlas.schedules.cycled import CycledAfter

__all__ = ["CyclicAveragingRate"]


@dataclass(frozen=True)
class CyclicAveragingRate(CycledAfter):
    """A factor of 1 that falls to ``high`` at ``begin``, then in each cycle falls linearly from ``high`` to ``low``.

    Stochastic weight averaging (Izmailov et al. 2018, arXiv 1803.05407, section 3) averages the networks at the ends
    of cycles, where the rate is lowest. Step ``i`` of a cycle of ``c`` steps, counted from 1, has the factor
    ``(1 - t) high + t low`` with ``t = i / c``.

    >>> schedule = CyclicAveragingRate(cycles=2, begin=0.75, high=0.5, low=0.1)
    >>> [round(schedule.at_step(step, 16), 3) for step in range(12, 16)], schedule.list_members(16)
    ([0.3, 0.1, 0.3, 0.1], [14, 16])
    """

    begin: BelowOne = 0.75
    """Share of the budget at which the cycles begin; 0 for a training that continues another one."""

    def cycle(self, place: float) -> float:
        return self.high + (self.low - self.high) * place
