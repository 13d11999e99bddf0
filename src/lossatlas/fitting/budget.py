"""Budgets: how long a fit may take."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from lossatlas.errors import BadInput

__all__ = ["Budget", "Seconds", "Steps"]


class Budget(ABC):
    """An end, and how far off it is."""

    @abstractmethod
    def progress(self, steps: int, seconds: float) -> float:
        """The share of the budget that is used; 1 and more means that it is spent."""


@dataclass(frozen=True)
class Steps(Budget):
    """So many steps: results do not depend on the machine's speed."""

    count: int

    def __post_init__(self) -> None:
        if not self.count >= 1:
            raise BadInput(f"the budget is {self.count} steps; expected at least 1")

    def progress(self, steps: int, seconds: float) -> float:
        return steps / self.count


@dataclass(frozen=True)
class Seconds(Budget):
    """So many seconds of fitting, whatever is reached in them."""

    count: float

    def __post_init__(self) -> None:
        if not 0 < self.count < math.inf:
            raise BadInput(f"the budget is {self.count} seconds; expected a positive number")

    def progress(self, steps: int, seconds: float) -> float:
        return seconds / self.count
