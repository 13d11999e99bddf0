"""What a fit and the survey of its chart take, and how many examples that leaves to the survey."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lossatlas.engine import Engine
from lossatlas.errors import CannotFinish
from lossatlas.fitting import Fit
from lossatlas.jobs.examples import Chosen, choose_examples
from lossatlas.jobs.forecast import PICTURES, Phase
from lossatlas.jobs.sampling import Rate, sample_steps
from lossatlas.jobs.survey_cost import Left, SurveyCost
from lossatlas.objectives import CoarseToFine, Objective
from lossatlas.recipes.fit import FitRecipe

__all__ = ["FitCost", "budgeted", "sampled_steps"]


@dataclass
class FitCost:
    """The costs of a fit, each measured when it is first asked for.

    Attributes:
        recipe: the objects of the fit, which stay as they are.
        engine: of its steps.
        survey_engine: of the survey.
    """

    recipe: FitRecipe
    engine: Engine
    survey_engine: Engine

    @property
    def points(self) -> int:
        """Of the survey."""
        return int(np.prod([len(coords) for coords in self.recipe.grid.values()]))

    @property
    def available(self) -> dict[str, int]:
        """Examples by split, as many as there are."""
        return {name: len(self.recipe.data.splits[name]) for name in self.recipe.surveyed}

    def chosen(self) -> Chosen:
        """As many examples as keep the survey within the fit's own time."""
        return choose_examples(self.fit(1.0).seconds, lambda taken: self.survey(taken).seconds, self.available)

    def phases(self, left: float, points: Left | float, pictures: bool) -> Iterator[Phase]:
        """What is to come.

        Args:
            left: of the fit's budget, a share in [0, 1].
            points: how many of the survey's are to be evaluated.
            pictures: whether there will be any.
        """
        yield self.fit(left)
        yield self.survey({name: len(split) for name, split in self.recipe.surveyed.items()}, points)
        if pictures:
            yield PICTURES

    def fit(self, left: float) -> Phase:
        """The fit, of whose budget a share is left."""
        return budgeted("fit", self.recipe.config.steps, self.recipe.config.seconds, left, lambda: self.step)

    def survey(self, examples: Mapping[str, int], points: Left | float | None = None) -> Phase:
        """The survey of so many examples by split; of all points, unless it is said how many are left."""
        return self._survey.phase("survey", examples, self.points if points is None else points)

    @cached_property
    def step(self) -> Rate:
        """A step of the finest picture; made with a copy of the chart."""
        recipe = self.recipe
        objective = _last(copy.deepcopy(recipe.objective))
        twin = replace(recipe, chart=copy.deepcopy(recipe.chart), objective=objective)
        return sampled_steps(twin.begin_fit(self.engine), recipe.config.steps or 1)

    @cached_property
    def _survey(self) -> SurveyCost:
        recipe = self.recipe
        examples = sum(len(split) for split in recipe.surveyed.values())
        return SurveyCost(
            self.survey_engine,
            recipe.chart,
            recipe.grid,
            recipe.metrics,
            recipe.data.splits[next(iter(recipe.surveyed))],
            recipe.config.eval_batch_size,
            recipe.survey_buffers.passes,
            expected=self.points * examples,
            besides=self.fit(1.0).seconds,
        )


def budgeted(name: str, steps: int | None, seconds: float | None, left: float, step: Callable[[], Rate]) -> Phase:
    """A phase with a budget, of which a share is left: known where it is one of seconds, else so many steps.

    Args:
        name: of the phase.
        steps: the budget; or
        seconds: the budget.
        left: the share.
        step: what a step takes; asked for where that matters.
    """
    if steps is None:
        return Phase(name, left * (seconds or 0.0))
    if not left:
        return Phase(name, 0.0)
    rate = step()
    return Phase(name, left * steps * rate.seconds, rate.factor)


def sampled_steps(fit: Fit, steps: int) -> Rate:
    """What a step of a fit takes that is thrown away then; nothing where it cannot be made, which the fit will say."""
    try:
        return sample_steps(fit.step, steps)
    except CannotFinish:
        return Rate(0.0)


def _last(objective: Objective) -> Objective:
    """That of the finest picture."""
    return objective.stages[-1].objective if isinstance(objective, CoarseToFine) else objective
