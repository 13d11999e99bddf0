"""The interface of measures: numbers that describe a surface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from lossatlas.measures.surface import Surface
from lossatlas.registry import Registry

__all__ = ["MEASURES", "Measure", "Value"]

Value = float | int | list[Any] | None
"""A JSON value: a number, a list, or None for an undefined number; never NaN or infinity."""


class Measure(ABC):
    """A description of a surface by numbers; a frozen dataclass of its options, all of which have defaults."""

    compares_repeats: ClassVar[bool] = False
    """Whether it measures several repeats of a slice together; all others are computed for each repeat."""

    @abstractmethod
    def applies(self, surface: Surface) -> bool:
        """Return whether the measure applies to this surface."""

    @abstractmethod
    def of(self, surface: Surface) -> dict[str, Value]:
        """Compute the numbers by name, which is unique to the measure; in the loss's unit unless documented
        otherwise.
        """


MEASURES: Registry[type[Measure]] = Registry("measure", "lossatlas.measures.kinds")
