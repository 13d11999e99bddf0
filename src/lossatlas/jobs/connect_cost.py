"""What a curve between networks and its evaluation take."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lossatlas.engine import Engine
from lossatlas.jobs.along import ENSEMBLE_PATHS, STORES
from lossatlas.jobs.fit_cost import budgeted, sampled_steps
from lossatlas.jobs.forecast import PICTURES, Phase
from lossatlas.jobs.sampling import Rate
from lossatlas.jobs.survey_cost import SurveyCost, points_left
from lossatlas.recipes.connect import ConnectRecipe
from lossatlas.rundir import PLANE, SURVEY
from lossatlas.schema import CURVE, Along
from lossatlas.surveying.ensembles import METRICS
from lossatlas.surveying.store import glance_at, list_whole_variables
from lossatlas.surveying.survey import STREAMING

__all__ = ["ConnectCost"]


@dataclass
class ConnectCost:
    """The costs of a curve, each measured when it is first asked for.

    Attributes:
        recipe: the objects of the curve, which stay as they are.
        engine: of its steps.
        survey_engine: of the evaluation.
    """

    recipe: ConnectRecipe
    engine: Engine
    survey_engine: Engine

    @property
    def paths(self) -> int:
        """How many times the points of a path are visited."""
        return len(self._stores) + self._ensembles

    def phases(self, left: float, run: Path | None, pictures: bool) -> Iterator[Phase]:
        """What is to come.

        Args:
            left: of the training's budget, a share in [0, 1].
            run: the directory with what is there; None: nothing is.
            pictures: whether there will be any.
        """
        config = self.recipe.config
        yield budgeted("curve", config.steps, config.seconds, left, lambda: self.step)
        surveys = [*self._surveys(run or Path("nowhere", "at all"))]
        seconds = sum(phase.seconds for phase in surveys)
        off = sum(phase.seconds * phase.factor for phase in surveys) / seconds if seconds else 1.0
        yield Phase("survey", seconds, off)
        if pictures:
            yield PICTURES

    @cached_property
    def step(self) -> Rate:
        """A step, made with a copy of the curve."""
        recipe = self.recipe
        curve, objective = copy.deepcopy((recipe.chart, recipe.objective))  # together: objectives may know their curve
        twin = replace(recipe, chart=curve, objective=objective)
        return sampled_steps(twin.begin_fit(self.engine), recipe.config.steps or 1)

    @property
    def _stores(self) -> list[str]:
        return [
            SURVEY,
            *(store for path, store in STORES.items() if path != "radial" or self.recipe.radial is not None),
        ]

    @property
    def _ensembles(self) -> int:
        """How many paths ensembles are evaluated on."""
        return len(ENSEMBLE_PATHS) * (self.recipe.config.ensembles and self.recipe.problem.loss.classifies)

    def _surveys(self, run: Path) -> Iterator[Phase]:
        examples = {name: len(split) for name, split in self.recipe.surveyed.items()}
        count = len(self.recipe.t)
        for store in self._stores:
            yield self._survey.phase(store, examples, points_left(run / store, count))
        in_plane = {name: len(split) for name, split in self.recipe.in_plane.items()}
        yield self._survey.phase(PLANE, in_plane, points_left(run / PLANE, self.recipe.config.plane**2))
        visits = self._ensembles * count
        stored = glance_at(run / SURVEY)
        known = list_whole_variables(stored) if stored is not None else set()
        todo = {
            split: number
            for split, number in examples.items()
            if not {Along.ensemble(path, split, metric) for path in ENSEMBLE_PATHS for metric in METRICS} <= known
        }
        yield self._survey.phase("ensembles", todo, lambda _, group: visits if group == STREAMING else 0)

    @cached_property
    def _survey(self) -> SurveyCost:
        recipe, config = self.recipe, self.recipe.config
        along, in_plane = (
            sum(len(split) for split in splits.values()) for splits in (recipe.surveyed, recipe.in_plane)
        )
        return SurveyCost(
            self.survey_engine,
            recipe.straight,
            {CURVE: recipe.t.numpy()},
            recipe.metrics,
            next(iter(recipe.surveyed.values())),
            config.eval_batch_size,
            recipe.survey_buffers.passes,
            expected=self.paths * len(recipe.t) * along + config.plane**2 * in_plane,
            besides=config.seconds or 0.0,
        )
