"""Coarse pictures first: objectives one after the other on the same extent of the chart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from lossatlas.errors import BadInput
from lossatlas.files.reading import converted
from lossatlas.objectives.objective import Objective, SampledPoints

__all__ = ["CoarseToFine", "Stage"]


@dataclass(frozen=True)
class Stage:
    """One objective and the share of the budget that it may use."""

    objective: Objective
    share: float


@dataclass(frozen=True)
class _State:
    """What is remembered between steps."""

    stage: int
    stages: list[dict[str, Any]]


class CoarseToFine(Objective):
    """Moves on when the coarser picture is there, or when its share of the budget is used.

    Args:
        stages: in their order; shares are positive and are scaled to sum to one. Time that a stage leaves goes to
            those after it.
        there: what the criterion has to reach for a stage to count as done.
        criterion: the running number that is asked for, as :meth:`SampledPoints.report` calls it. A stage that
            reports no such number uses up its share.

    Raises:
        BadInput: no stages, stages along different axes, or a share that is not positive.
    """

    def __init__(self, stages: Sequence[Stage], there: float = 0.9, criterion: str = "gap") -> None:
        if not stages or not all(stage.share > 0 for stage in stages):
            raise BadInput("coarse-to-fine needs stages with positive shares of the budget")
        if len({stage.objective.axes for stage in stages}) > 1:
            raise BadInput("the stages of coarse-to-fine run along different axes; expected pictures of one rank")
        self.stages = tuple(stages)
        self.there = there
        self.criterion = criterion
        self.axes = stages[0].objective.axes
        self.most_points = max(stage.objective.most_points for stage in stages)
        self.per_example = any(stage.objective.per_example for stage in stages)
        total = sum(stage.share for stage in stages)
        self._ends = [end / total for end in accumulate(stage.share for stage in stages)]
        self._stage = 0

    def _describe(self) -> str:
        return ", ".join(repr(stage.objective) for stage in self.stages)

    def sample(self, seed: int, step: int, progress: float, running: Mapping[str, float]) -> SampledPoints:
        last = len(self.stages) - 1
        if self._stage < last and running.get(self.criterion, -math.inf) >= self.there:
            self._stage += 1
        while self._stage < last and progress >= self._ends[self._stage]:
            self._stage += 1
        return self.stages[self._stage].objective.sample(seed, step, progress, running)

    @property
    def stage(self) -> int:
        return self._stage

    @property
    def final(self) -> bool:
        return self._stage == len(self.stages) - 1 and self.stages[-1].objective.final

    def state(self) -> dict[str, Any]:
        return {"stage": self._stage, "stages": [stage.objective.state() for stage in self.stages]}

    def restore(self, state: dict[str, Any]) -> None:
        stored = converted(state, _State)
        if not 0 <= stored.stage < len(self.stages) == len(stored.stages):
            raise ValueError(f"stage {stored.stage} of {len(stored.stages)}; there are {len(self.stages)}")
        self._stage = stored.stage
        for stage, inner in zip(self.stages, stored.stages, strict=True):
            stage.objective.restore(inner)
