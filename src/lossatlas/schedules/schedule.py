"""The interface of learning-rate schedules: a frozen dataclass of options, called with progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, TypeAlias

from msgspec import Meta

from lossatlas.bounds import NamedOptions
from lossatlas.errors import BadInput
from lossatlas.registry import Registry

__all__ = ["SCHEDULES", "Cycles", "Schedule", "find_schedule_options"]


MOST_CYCLES = 1000
"""The most cycles of a learning rate; at the end of each, a member of an ensemble may be kept."""
Cycles: TypeAlias = Annotated[int, Meta(ge=1, le=MOST_CYCLES, description=f"1 to {MOST_CYCLES:,}")]


class Schedule(NamedOptions, ABC):
    """The factor on the learning rate as a function of the progress, the share of the budget that is used."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """The factor in [0, 1] at a progress in [0, 1]."""

    def at_step(self, step: int, total_steps: int) -> float:
        """The factor of one step, counted from 0, of a known number of steps; after the last one as in it.

        It serves a loop of one's own, too:

        >>> import torch, lossatlas as la
        >>> schedule, total, members = la.WarmRestarts(cycles=2), 40, []
        >>> module = torch.nn.Linear(3, 1)
        >>> optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        >>> rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule.at_step(step, total))
        >>> for step in range(total):
        ...     module(torch.ones(3)).sum().backward()
        ...     optimizer.step()
        ...     rates.step()
        ...     if step + 1 in schedule.list_members(total):
        ...         members.append({name: value.clone() for name, value in module.state_dict().items()})
        >>> len(members), schedule.list_members(total)
        (2, [20, 40])
        """
        return self(min(step, total_steps - 1) / total_steps)

    def list_members(self, total_steps: int) -> list[int]:
        """List the numbers of steps after which members of an ensemble are taken, ascending.

        Each is the number of steps that are done with the one whose rate is lowest.

        Raises:
            BadInput: there are fewer steps than the schedule has parts.
        """
        found = sorted({self._find_lowest(share, total_steps) for share in self.lowest()})
        if len(found) < len(self.lowest()):
            raise BadInput(
                f"{total_steps} steps are too few for {len(self.lowest())} cycles of a learning rate, each with a "
                "lowest one; expected more steps, or fewer cycles"
            )
        return found

    def _find_lowest(self, share: float, total_steps: int) -> int:
        """Return the number of steps after the one with the lowest rate, which is at a share of all or just before."""
        near = min(total_steps - 1, round(share * total_steps))
        return 1 + min((near, max(0, near - 1)), key=lambda step: self.at_step(step, total_steps))

    def lowest(self) -> tuple[float, ...]:
        """The progress at each minimum of the rate, ascending: members of an ensemble are taken there."""
        return (1.0,)


SCHEDULES: Registry[type[Schedule]] = Registry("schedule", "lossatlas.schedules.kinds")


def find_schedule_options(name: str) -> type[Schedule]:
    """Find the dataclass of a schedule's options.

    Raises:
        BadInput: there is no schedule of this name.
    """
    return SCHEDULES[name]
