"""A learning rate that is constant first and then falls linearly."""

from __future__ import annotations

from dataclasses import dataclass

from lossatlas.bounds import Share
from lossatlas.errors import BadInput
from lossatlas.schedules.schedule import Schedule

__all__ = ["LinearDecay"]


@dataclass(frozen=True)
class LinearDecay(Schedule):
    """A factor that is 1 up to ``begin``, falls linearly to ``low`` at ``end``, and is constant after that.

    Garipov et al. 2018 (arXiv 1802.10026) train with ``begin`` 0.5, ``end`` 0.9 and ``low`` 0.01.

    >>> LinearDecay()(0.25), LinearDecay()(0.75)
    (1.0, 0.5)
    """

    begin: Share = 0.5
    """Fraction of the budget after which the learning rate begins to fall."""
    end: Share = 1.0
    """Fraction of the budget at which the learning rate has fallen."""
    low: Share = 0.0
    """Factor of the learning rate at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.begin < self.end:
            raise BadInput(
                f"a linear schedule falls from {self.begin} to {self.end} of the budget; expected begin < end"
            )

    def __call__(self, progress: float) -> float:
        fallen = min(1.0, max(0.0, (progress - self.begin) / (self.end - self.begin)))
        return 1.0 - fallen * (1.0 - self.low)
