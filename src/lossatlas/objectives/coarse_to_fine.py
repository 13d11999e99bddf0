"""Coarse pictures first: a sequence of objectives on the same region of the chart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from lossatlas.engine import StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.files.reading import convert
from lossatlas.objectives.objective import Objective, SampledPoints
from lossatlas.objectives.scoring import Scoring

__all__ = ["CoarseToFine", "Stage"]


@dataclass(frozen=True)
class Stage:
    """One objective and the share of the budget that it may use.

    >>> import lossatlas as la
    >>> stages = [la.Stage(la.Pattern(la.picture("heart", size)), share) for size, share in ((8, 0.4), (16, 0.6))]
    >>> la.CoarseToFine(stages).axes
    ('u', 'v')
    """

    objective: Objective
    share: float


@dataclass(frozen=True)
class _State:
    """The state that is kept between steps."""

    stage: int
    stages: list[dict[str, Any]]


class CoarseToFine(Objective):
    """Objectives one after the other, the next one when the criterion is reached or the share of the budget is used.

    Args:
        stages: the objectives in their order, with positive shares, which are scaled to sum to one. Budget that a
            stage does not use is left to the later ones.
        there: the value of the criterion at which a stage is complete.
        criterion: the name of the running mean that is compared, from :meth:`SampledPoints.report`. A stage that does
            not report it uses up its share.

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
        self.scored_by = stages[-1].objective.scored_by
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

    def make_scoring(self, most: int, metrics: Mapping[str, StreamingMetric]) -> Scoring | None:
        return self.stages[-1].objective.make_scoring(most, metrics)

    @property
    def stage(self) -> int:
        return self._stage

    @property
    def final(self) -> bool:
        return self._stage == len(self.stages) - 1 and self.stages[-1].objective.final

    @property
    def last(self) -> Objective:
        return self.stages[-1].objective.last

    def state(self) -> dict[str, Any]:
        return {"stage": self._stage, "stages": [stage.objective.state() for stage in self.stages]}

    def restore(self, state: dict[str, Any]) -> None:
        stored = convert(state, _State)
        if not 0 <= stored.stage < len(self.stages) == len(stored.stages):
            raise ValueError(f"stage {stored.stage} of {len(stored.stages)}; there are {len(self.stages)}")
        self._stage = stored.stage
        for stage, inner in zip(self.stages, stored.stages, strict=True):
            stage.objective.restore(inner)
