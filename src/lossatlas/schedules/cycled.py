"""Schedules that train first, and then take members of an ensemble in cycles of a whole number of steps."""

# Annotations are evaluated here, not where a subclass is defined: the command line reads them.

from abc import abstractmethod
from dataclasses import dataclass
from math import modf
from typing import ClassVar

from lossatlas.bounds import BelowOne, Share
from lossatlas.errors import BadInput
from lossatlas.schedules.kinds.linear import LinearDecay
from lossatlas.schedules.schedule import Cycles, Schedule

__all__ = ["CycledAfter", "compute_lead"]


@dataclass(frozen=True)
class CycledAfter(Schedule):
    """The factor of a training up to a share of the budget, and that of equal cycles over what is left of it.

    Where the number of steps is known (:meth:`at_step`) each cycle has the same whole number of steps, a multiple of
    ``multiple``; the few steps that are left over go to the training before.
    """

    cycles: Cycles = 4
    """Number of cycles."""
    begin: BelowOne = 0.8
    """Share of the budget at which the cycles begin; 0 for a training that continues another one."""
    high: Share = 0.5
    """Highest factor of the learning rate in a cycle."""
    low: Share = 0.01
    """Lowest factor of the learning rate in a cycle."""

    multiple: ClassVar[int] = 1
    lowest_at: ClassVar[float] = 1.0
    """The place in a cycle, in (0, 1], at which its rate is lowest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low <= self.high:
            raise BadInput(
                f"a cycle of the learning rate falls from {self.high:g} to {self.low:g}; expected low <= high"
            )

    @abstractmethod
    def cycle(self, place: float) -> float:
        """The factor at a place in a cycle, in [0, 1]."""

    def __call__(self, progress: float) -> float:
        if progress < self.begin:
            return compute_lead(progress, self.begin, self.high)
        place, _ = modf((progress - self.begin) / (1 - self.begin) * self.cycles)
        return self.cycle(place if progress < 1 else 1.0)

    def at_step(self, step: int, total_steps: int) -> float:
        begin, length = self._lay_out(total_steps)
        if step < begin:
            return compute_lead(step / begin * self.begin, self.begin, self.high) if self.begin else self.high
        return self.cycle(((min(step, total_steps - 1) - begin) % length + 1) / length)

    def lowest(self) -> tuple[float, ...]:
        whole = 1 - self.begin
        return tuple(
            1.0 if k + self.lowest_at == self.cycles else self.begin + whole * (k + self.lowest_at) / self.cycles
            for k in range(self.cycles)
        )

    def list_members(self, total_steps: int) -> list[int]:
        begin, length = self._lay_out(total_steps)
        return [begin + k * length + round(self.lowest_at * length) for k in range(self.cycles)]

    def _lay_out(self, total_steps: int) -> tuple[int, int]:
        """Return the step at which cycles begin, and the number of steps of each.

        Raises:
            BadInput: a cycle would have no step.
        """
        rest = total_steps - round(self.begin * total_steps)
        length = rest // (self.cycles * self.multiple) * self.multiple
        if not length:
            raise BadInput(
                f"{self.cycles} cycles of a learning rate need {self.cycles * self.multiple:,} steps or more, and "
                f"{rest:,} of {total_steps:,} are left for them; train longer, or give fewer cycles or an earlier begin"
            )
        return total_steps - self.cycles * length, length


def compute_lead(progress: float, begin: float, low: float) -> float:
    """The factor of the training before a share ``begin`` of the budget: 1 in its first half, then linearly to ``low``.

    >>> [compute_lead(progress, begin=0.8, low=0.5) for progress in (0.0, 0.4, 0.6, 0.8)]
    [1.0, 1.0, 0.75, 0.5]
    """
    return LinearDecay(begin / 2, begin, low)(progress) if begin else low
