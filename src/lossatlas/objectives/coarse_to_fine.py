"""Coarse pictures first: objectives one after the other on the same extent of the chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from lossatlas.errors import BadInput
from lossatlas.objectives.objective import Draw, Objective

__all__ = ["CoarseToFine", "Stage"]

MEMORY = 0.95
"""Per step, how much of the running gap is remembered: about 20 steps."""


@dataclass(frozen=True)
class Stage:
    """One objective and the share of the budget that it may use."""

    objective: Objective
    share: float


class CoarseToFine(Objective):
    """Moves on when the coarser picture is there, or when its share of the budget is used.

    Args:
        stages: in their order; shares are positive and are scaled to sum to one. Time that a stage leaves goes to
            those after it.
        there: the running gap on the drawn cells at which a picture counts as there.

    Raises:
        BadInput: no stages, stages along different axes, or a share that is not positive.
    """

    def __init__(self, stages: Sequence[Stage], there: float = 0.9) -> None:
        if not stages or not all(stage.share > 0 for stage in stages):
            raise BadInput("coarse-to-fine needs stages with positive shares of the budget")
        if len({stage.objective.axes for stage in stages}) > 1:
            raise BadInput("the stages of coarse-to-fine run along different axes; expected pictures of one rank")
        self.stages = tuple(stages)
        self.there = there
        self.axes = stages[0].objective.axes
        self.largest_draw = max(stage.objective.largest_draw for stage in stages)
        total = sum(stage.share for stage in stages)
        self._ends = [end / total for end in accumulate(stage.share for stage in stages)]
        self._current = 0
        self._gap = 0.0

    @property
    def current(self) -> int:
        """The index of the stage that is drawn."""
        return self._current

    def draw(self, seed: int, step: int, progress: float) -> Draw:
        last = len(self.stages) - 1
        while self._current < last and (progress >= self._ends[self._current] or self._gap >= self.there):
            self._current += 1
            self._gap = 0.0
        return self.stages[self._current].objective.draw(seed, step, progress)

    @property
    def final(self) -> bool:
        return self._current == len(self.stages) - 1 and self.stages[-1].objective.final

    def observe(self, report: dict[str, float]) -> None:
        self._gap = MEMORY * self._gap + (1 - MEMORY) * report.get("gap", 0.0)
        self.stages[self._current].objective.observe(report)

    def state(self) -> dict[str, Any]:
        inner = [stage.objective.state() for stage in self.stages]
        return {"current": self._current, "gap": self._gap, "stages": inner}

    def restore(self, state: dict[str, Any]) -> None:
        self._current, self._gap = state["current"], state["gap"]
        for stage, inner in zip(self.stages, state["stages"], strict=True):
            stage.objective.restore(inner)
