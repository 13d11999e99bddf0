"""A constant learning rate."""

from __future__ import annotations

from dataclasses import dataclass

from lossatlas.schedules.schedule import Schedule

__all__ = ["Constant"]


@dataclass(frozen=True)
class Constant(Schedule):
    """The constant factor 1."""

    def __call__(self, progress: float) -> float:
        return 1.0
