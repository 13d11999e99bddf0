"""The interface of objectives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lossatlas.describing import count_things, write_repr
from lossatlas.engine import Functional

__all__ = ["Objective", "SampledPoints", "SingleStage"]


class SampledPoints(Functional):
    """The points of one step and what is to be made of them."""

    coords: Tensor
    """(P, d), float64 on the CPU."""

    @abstractmethod
    def report(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """Numbers by name, from the metrics (P,) on the step's batch: for people, and for what goes by them."""


class Objective(ABC):
    """Draws the points of each step; deterministic given seed, step, progress and its own state."""

    axes: tuple[str, ...]
    """The axes that its coordinates run along."""
    most_points: int
    """The most points that a step has."""
    per_example: bool = False
    """Whether it asks for each example's own loss; a mean of the batch then does not do."""

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        return f"{count_things(self.most_points, 'point')} a step"

    @abstractmethod
    def sample(self, seed: int, step: int, progress: float, running: Mapping[str, float]) -> SampledPoints:
        """The points of one step.

        Args:
            seed: of the fit.
            step: counted from 0.
            progress: the share of the budget used, in [0, 1].
            running: means over late steps of the present stage of what :meth:`SampledPoints.report` said, by its names;
                empty as long as there were too few steps to speak of.
        """

    @property
    @abstractmethod
    def stage(self) -> int:
        """What was drawn last, counted from 0; numbers of one stage say nothing of another."""

    @property
    @abstractmethod
    def final(self) -> bool:
        """Whether what is drawn now is what the fit is for, not a step on the way there."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What has to be remembered between steps, as JSON types."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned.

        Raises:
            ValueError: it is another objective's.
        """


class SingleStage(Objective):
    """An objective that is the same at every step: it has one stage, the last, and nothing to remember."""

    @property
    def stage(self) -> int:
        return 0

    @property
    def final(self) -> bool:
        return True

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """There is nothing to take up."""
