"""The cost of a fit and of the survey of its chart, and the number of examples that follows for the survey."""

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
from lossatlas.recipes.chart_recipe import DescentRecipe
from lossatlas.recipes.fit import FitRecipe

__all__ = ["DescentCost", "FitCost"]

R = TypeVar("R", bound=DescentRecipe[Any])


@dataclass
class DescentCost(Generic[R]):
    """The costs of a chart that is trained and then surveyed, each measured when it is first needed.

    Attributes:
        recipe: The recipe, which is not changed.
        engine: The engine of the training.
        survey_engine: The engine of the survey.
    """

    recipe: R
    engine: Engine
    survey_engine: Engine

    def descend(self, name: str, left: float) -> Phase:
        """Return the phase of the training, of whose budget the share ``left`` is left."""
        config = self.recipe.config
        return _budgeted(name, config.steps, config.seconds, left, lambda: self.step)

    @cached_property
    def step(self) -> Rate:
        """Measure a step of the last stage, on copies of chart and objective."""
        recipe = self.recipe
        chart, objective = copy.deepcopy((recipe.chart, recipe.objective))  # together, since one may refer to the other
        twin = replace(recipe, chart=chart, objective=objective.last)
        return _sampled_steps(twin.begin_fit(self.engine), recipe.config.steps or 1)


class FitCost(DescentCost[FitRecipe]):
    """The cost of a fit and of the survey of its chart."""

    @property
    def points(self) -> int:
        """Return the number of points of the survey."""
        return int(np.prod([len(coords) for coords in self.recipe.grid.values()]))

    def chosen(self) -> Chosen:
        """Choose as many examples as keep the survey within the time of the fit."""
        available = {name: len(self.recipe.data.splits[name]) for name in self.recipe.surveyed}
        return choose_examples(self.descend("fit", 1.0).seconds, lambda taken: self.survey(taken).seconds, available)

    def phases(self, left: float, points: Left | float, pictures: bool) -> Iterator[Phase]:
        """Yield the phases that are still to come.

        Args:
            left: the share of the fit's budget that is left, in [0, 1].
            points: the number of points of the survey that are still to be evaluated.
            pictures: whether pictures will be drawn.
        """
        yield self.descend("fit", left)
        yield self.survey({name: len(split) for name, split in self.recipe.surveyed.items()}, points)
        if pictures:
            yield PICTURES

    def survey(self, examples: Mapping[str, int], points: Left | float | None = None) -> Phase:
        """Return the phase of a survey with these numbers of examples by split, of all points or of those that are
        left.
        """
        return self._survey.phase("survey", examples, self.points if points is None else points)

    @cached_property
    def _survey(self) -> SurveyCost:
        recipe, besides = self.recipe, self.descend("fit", 1.0).seconds
        examples = sum(len(split) for split in recipe.surveyed.values())
        return SurveyCost(recipe, self.survey_engine, recipe.grid, self.points * examples, besides)


def _budgeted(name: str, steps: int | None, seconds: float | None, left: float, step: Callable[[], Rate]) -> Phase:
    """Return a phase with a budget, of which a share is left; a budget in seconds needs no measurement.

    Args:
        name: the name of the phase.
        steps: the budget in steps, if that is stated.
        seconds: the budget in seconds, otherwise.
        left: the share that is left, in [0, 1].
        step: measures a step; called only if the budget is in steps.
    """
    if steps is None:
        return Phase(name, left * (seconds or 0.0))
    if not left:
        return Phase(name, 0.0)
    rate = step()
    return Phase(name, left * steps * rate.seconds, rate.factor)


def _sampled_steps(fit: Fit, steps: int) -> Rate:
    """Measure the steps of a fit that is discarded; zero if a step fails, which the fit itself will report."""
    try:
        return sample_steps(fit.step, steps)
    except CannotFinish:
        return Rate(0.0)
