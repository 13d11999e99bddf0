"""What operator metrics are made of: a computation on derivatives, which several of them may share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from lossatlas.engine import Derivatives

__all__ = ["Computation"]


@dataclass(frozen=True)
class Computation(ABC):
    """What is made of the derivatives at the points of a chunk, as a frozen dataclass of options.

    Metrics whose computations are equal are evaluated together, by one call for each chunk of points, and are one group
    of a survey. What it was computed with is recorded there as its ``repr``; nothing else may change its numbers.
    """

    name: ClassVar[str]
    """Of the group in stores, ``<split>_<name>_done``."""

    @abstractmethod
    def __call__(self, derivatives: Derivatives) -> Any:
        """What the metrics of the group make their values of, at the p points of a chunk."""
