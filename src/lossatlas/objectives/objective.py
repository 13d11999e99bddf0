"""The interface of objectives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lossatlas.describing import count_things, write_repr
from lossatlas.engine import Functional, StreamingMetric
from lossatlas.objectives.scoring import Scoring

__all__ = ["Objective", "SampledPoints", "SingleStage"]


class SampledPoints(Functional):
    """The points that a step of a fit samples, and the function of their losses that it minimises."""

    coords: Tensor
    """The coordinates of the points, (P, d), float64 on the CPU."""

    @abstractmethod
    def report(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """Summarise metrics (P,) on the step's batch as numbers by name, for logs and for stopping criteria."""


class Objective(ABC):
    """An objective samples the points of each step, as a function of seed, step, progress and its own state."""

    axes: tuple[str, ...]
    """The names of the axes of its coordinates."""
    most_points: int
    """The largest number of points of a step."""
    per_example: bool = False
    """Whether it needs the losses of single examples, and not only their mean over a batch."""
    scored_by: tuple[str, ...] = ()
    """The names of further metrics that :meth:`make_scoring` needs."""

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        return f"{count_things(self.most_points, 'point')} a step"

    @abstractmethod
    def sample(self, seed: int, step: int, progress: float, running: Mapping[str, float]) -> SampledPoints:
        """Sample the points of one step.

        Args:
            seed: the seed of the fit.
            step: the number of the step, from 0.
            progress: the share of the budget that is used, in [0, 1].
            running: running means of the numbers of :meth:`SampledPoints.report` over recent steps of the present
                stage, by name; empty while there are too few steps.
        """

    def make_scoring(self, most: int, metrics: Mapping[str, StreamingMetric]) -> Scoring | None:
        """Make what charts are judged by on held-out examples, with which a fit keeps the best one.

        Args:
            most: the largest number of points that are evaluated.
            metrics: the metrics of the loss by name, ``loss`` and of classifiers ``accuracy``, and those that
                :attr:`scored_by` names.

        Returns:
            The points, metrics and score of what the last stage asks for; None, as by default, where nothing but the
            value of the objective says how good a chart is.
        """
        return None

    @property
    @abstractmethod
    def stage(self) -> int:
        """The number of the present stage, from 0; running means are not carried from one stage to the next."""

    @property
    @abstractmethod
    def final(self) -> bool:
        """Whether the present stage is the last one."""

    @property
    def last(self) -> Objective:
        """The objective of its last stage alone, by whose steps the time of a fit is foretold; by default itself."""
        return self

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """The state to be kept between steps, in JSON types."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Restore a state that :meth:`state` returned.

        Raises:
            ValueError: it is the state of another objective.
        """


class SingleStage(Objective):
    """An objective that is the same at every step: it has a single stage and no state."""

    @property
    def stage(self) -> int:
        return 0

    @property
    def final(self) -> bool:
        return True

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Do nothing, since there is no state."""
