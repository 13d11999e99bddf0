"""The interface of learning-rate schedules: a frozen dataclass of options, called with progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, TypeAlias

from msgspec import Meta

from lossatlas.bounds import NamedOptions
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
