"""The interface of learning-rate schedules: a frozen dataclass of options, called with progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, TypeAlias

from msgspec import Meta

from lossatlas.bounds import NamedOptions
from lossatlas.registry import Registry

__all__ = ["SCHEDULES", "Cycles", "Schedule", "find_schedule_options"]


MOST_CYCLES = 1000
"""Of a learning rate; where each ends, a member of an ensemble is kept."""
Cycles: TypeAlias = Annotated[int, Meta(ge=1, le=MOST_CYCLES, description=f"1 to {MOST_CYCLES:,}")]


class Schedule(NamedOptions, ABC):
    """The factor of the learning rate as a function of the share of the budget that is used."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """The factor, in [0, 1], for progress in [0, 1]."""

    def lowest(self) -> tuple[float, ...]:
        """Where the rate is lowest, in rising order: the members of an ensemble are taken there."""
        return (1.0,)


SCHEDULES: Registry[type[Schedule]] = Registry("schedule", "lossatlas.schedules.kinds")


def find_schedule_options(name: str) -> type[Schedule]:
    """The dataclass of a schedule's options.

    Raises:
        BadInput: no schedule has the name.
    """
    return SCHEDULES[name]
