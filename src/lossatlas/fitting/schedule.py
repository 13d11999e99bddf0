"""The interface of learning-rate schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from lossatlas.registry import Registry

__all__ = ["SCHEDULES", "Schedule"]

Schedule: TypeAlias = Callable[[float], float]
"""The factor of the learning rate as a function of the share of the budget that is used, in [0, 1]."""

SCHEDULES: Registry[Schedule] = Registry("schedule", "lossatlas.fitting.schedules")
