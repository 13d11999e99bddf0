"""A learning rate that drops at given times."""

from __future__ import annotations

from dataclasses import dataclass

from lossatlas.bounds import Fraction
from lossatlas.errors import BadInput
from lossatlas.schedules.schedule import Schedule

__all__ = ["StepDecay"]


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Divided at each drop; the defaults are those of Li et al. 2018 (arXiv 1712.09913): 150, 225, 275 of 300 epochs.

    >>> [round(StepDecay((0.5,), 0.1)(progress), 3) for progress in (0.4, 0.5, 1.0)]
    [1.0, 0.1, 0.1]
    """

    at: tuple[float, ...] = (0.5, 0.75, 275 / 300)
    """Fractions of the budget at which the learning rate drops."""
    factor: Fraction = 0.1
    """Factor that the learning rate is multiplied by at each drop."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 < share < 1 for share in self.at) or list(self.at) != sorted(set(self.at)):
            raise BadInput(f"a rate drops at shares {self.at} of the budget; expected rising numbers between 0 and 1")

    def __call__(self, progress: float) -> float:
        return self.factor ** sum(progress >= share for share in self.at)
