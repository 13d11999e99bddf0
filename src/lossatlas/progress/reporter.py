"""The interface of those who are told how far work is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

__all__ = ["Reporter", "Silent"]


class Reporter(ABC):
    """Listens to a job; a terminal shows a progress bar, tests listen to nothing."""

    listens = True
    """Whether anybody hears what is said."""

    @abstractmethod
    def say(self, line: str) -> None:
        """A line worth keeping."""

    @abstractmethod
    def progress(self, phase: str, share: float, numbers: Mapping[str, float]) -> None:
        """How far a phase is, in [0, 1], and how things stand."""


class Silent(Reporter):
    """Shows nothing."""

    listens = False

    def say(self, line: str) -> None:
        """Nothing is said."""

    def progress(self, phase: str, share: float, numbers: Mapping[str, float]) -> None:
        """Nothing is shown."""
