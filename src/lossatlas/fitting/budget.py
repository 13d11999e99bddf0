"""Budgets: how long a fit may take."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from lossatlas.errors import BadInput

__all__ = ["Budget", "Seconds", "Steps"]


class Budget(ABC):
    """A limit on a fit, in steps or in seconds."""

    @abstractmethod
    def progress(self, steps: int, seconds: float) -> float:
        """Return the share of the budget that is used, from 0; at 1 or more the budget is spent."""


@dataclass(frozen=True)
class Steps(Budget):
    """A budget in optimiser steps, with which results do not depend on the speed of the machine.

    Args:
        count: number of steps.

    Raises:
        BadInput: the count is below 1.

    >>> import lossatlas as la
    >>> la.Steps(100).progress(steps=25, seconds=3.0)
    0.25
    """

    count: int

    def __post_init__(self) -> None:
        if not self.count >= 1:
            raise BadInput(f"{self.count} steps is not a budget; expected at least 1 step")

    def progress(self, steps: int, seconds: float) -> float:
        return steps / self.count


@dataclass(frozen=True)
class Seconds(Budget):
    """A budget in seconds of fitting; how many steps that allows depends on the machine.

    Args:
        count: number of seconds.

    Raises:
        BadInput: the count is not a positive, finite number.

    >>> import lossatlas as la
    >>> la.Seconds(60.0).progress(steps=25, seconds=3.0)
    0.05
    """

    count: float

    def __post_init__(self) -> None:
        if not 0 < self.count < math.inf:
            raise BadInput(f"{self.count} seconds is not a budget; expected a positive, finite number")

    def progress(self, steps: int, seconds: float) -> float:
        return seconds / self.count
