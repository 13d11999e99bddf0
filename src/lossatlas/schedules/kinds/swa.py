"""The constant learning rate of stochastic weight averaging: a training, then a high constant rate."""

from __future__ import annotations

from dataclasses import dataclass

from lossatlas.bounds import Share
from lossatlas.schedules.cycled import compute_lead
from lossatlas.schedules.schedule import Schedule

__all__ = ["AveragingRate"]


@dataclass(frozen=True)
class AveragingRate(Schedule):
    """A factor of 1 in the first half of the share ``begin`` of the budget, which then falls linearly to ``low`` at
    ``begin`` and is constant after that.

    Stochastic weight averaging (Izmailov et al. 2018, arXiv 1803.05407, section 3) averages the networks from
    ``begin`` on. The defaults are those of the authors' code for residual networks, but for the fall, which their code
    ends somewhat earlier.

    >>> [AveragingRate(begin=0.75, low=0.5)(progress) for progress in (0.0, 0.375, 0.5625, 0.75, 1.0)]
    [1.0, 1.0, 0.75, 0.5, 0.5]
    """

    begin: Share = 0.75
    """Share of the budget from which the learning rate is constant."""
    low: Share = 0.5
    """Factor of the learning rate from then on."""

    def __call__(self, progress: float) -> float:
        return compute_lead(progress, self.begin, self.low)
