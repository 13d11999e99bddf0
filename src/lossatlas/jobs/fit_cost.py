"""What a fit and the survey of its chart take, and how many examples that leaves to the survey."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np

from lossatlas.engine import Engine
from lossatlas.errors import CannotFinish
from lossatlas.fitting import Fit
from lossatlas.jobs.examples import Chosen, choose_examples
from lossatlas.jobs.forecast import PICTURES, Phase
from lossatlas.jobs.sampling import Rate, sample_steps
from lossatlas.jobs.survey_cost import Left, SurveyCost
from lossatlas.objectives import CoarseToFine
from lossatlas.recipes.chart_recipe import DescentRecipe
from lossatlas.recipes.fit import FitRecipe

__all__ = ["DescentCost", "FitCost"]

R = TypeVar("R", bound=DescentRecipe[Any])


@dataclass
class DescentCost(Generic[R]):
    """The costs of a chart that is trained and then surveyed, each measured when it is first asked for.

    Attributes:
        recipe: its objects, which stay as they are.
        engine: of its steps.
        survey_engine: of the survey.
    """

    recipe: R
    engine: Engine
    survey_engine: Engine

    def descend(self, name: str, left: float) -> Phase:
        """The training of the chart, of whose budget a share is left."""
        config = self.recipe.config
        return _budgeted(name, config.steps, config.seconds, left, lambda: self.step)

    @cached_property
    def step(self) -> Rate:
        """A step of the last stage; made with copies of chart and objective."""
        recipe = self.recipe
        chart, objective = copy.deepcopy((recipe.chart, recipe.objective))  # together: one may know the other
        if isinstance(objective, CoarseToFine):
            objective = objective.stages[-1].objective
        twin = replace(recipe, chart=chart, objective=objective)
        return _sampled_steps(twin.begin_fit(self.engine), recipe.config.steps or 1)


class FitCost(DescentCost[FitRecipe]):
    """The costs of a fit and of the survey of its chart."""

    @property
    def points(self) -> int:
        """Of the survey."""
        return int(np.prod([len(coords) for coords in self.recipe.grid.values()]))

    def chosen(self) -> Chosen:
        """As many examples as keep the survey within the fit's own time."""
        available = {name: len(self.recipe.data.splits[name]) for name in self.recipe.surveyed}
        return choose_examples(self.descend("fit", 1.0).seconds, lambda taken: self.survey(taken).seconds, available)

    def phases(self, left: float, points: Left | float, pictures: bool) -> Iterator[Phase]:
        """What is to come.

        Args:
            left: of the fit's budget, a share in [0, 1].
            points: how many of the survey's are to be evaluated.
            pictures: whether there will be any.
        """
        yield self.descend("fit", left)
        yield self.survey({name: len(split) for name, split in self.recipe.surveyed.items()}, points)
        if pictures:
            yield PICTURES

    def survey(self, examples: Mapping[str, int], points: Left | float | None = None) -> Phase:
        """The survey of so many examples by split; of all points, unless it is said how many are left."""
        return self._survey.phase("survey", examples, self.points if points is None else points)

    @cached_property
    def _survey(self) -> SurveyCost:
        recipe, besides = self.recipe, self.descend("fit", 1.0).seconds
        examples = sum(len(split) for split in recipe.surveyed.values())
        return SurveyCost(recipe, self.survey_engine, recipe.grid, self.points * examples, besides)


def _budgeted(name: str, steps: int | None, seconds: float | None, left: float, step: Callable[[], Rate]) -> Phase:
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


def _sampled_steps(fit: Fit, steps: int) -> Rate:
    """What a step of a fit takes that is thrown away then; nothing where it cannot be made, which the fit will say."""
    try:
        return sample_steps(fit.step, steps)
    except CannotFinish:
        return Rate(0.0)
