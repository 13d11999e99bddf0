"""The interface of measures: what numbers a surface is described by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from lossatlas.measures.surface import Surface
from lossatlas.registry import Registry

__all__ = ["MEASURES", "Measure", "Value"]

Value = float | int | list[Any] | None
"""What JSON takes: a number, a list, or None where there is no number. Never NaN or infinity."""


class Measure(ABC):
    """One way to describe a surface by numbers; a frozen dataclass of its options, all of which have defaults."""

    compares_repeats: ClassVar[bool] = False
    """Whether it is a measure of several repeats of a slice together; all others are taken of each repeat."""

    @abstractmethod
    def applies(self, surface: Surface) -> bool:
        """Whether it says anything of this surface."""

    @abstractmethod
    def of(self, surface: Surface) -> dict[str, Value]:
        """The numbers by name; no name is that of another measure. Units are the loss's unless its docs say others."""


MEASURES: Registry[type[Measure]] = Registry("measure", "lossatlas.measures.kinds")
