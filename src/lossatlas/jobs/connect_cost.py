"""The cost of a curve between networks and of its evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from lossatlas.jobs.along import ENSEMBLE_PATHS, STORES
from lossatlas.jobs.fit_cost import DescentCost
from lossatlas.jobs.forecast import PICTURES, Phase
from lossatlas.jobs.survey_cost import SurveyCost, count_points_left
from lossatlas.recipes.connect import ConnectRecipe
from lossatlas.rundir import PLANE, SURVEY
from lossatlas.schema import CURVE, Along
from lossatlas.surveying.ensembles import METRICS
from lossatlas.surveying.store import glance_at, list_whole_variables
from lossatlas.surveying.surveyor import STREAMING

__all__ = ["ConnectCost"]


class ConnectCost(DescentCost[ConnectRecipe]):
    """The cost of a curve and of its evaluation."""

    @property
    def paths(self) -> int:
        """Return how many paths are surveyed."""
        return len(self._stores) + self._ensembles

    def phases(self, left: float, run: Path | None, pictures: bool) -> Iterator[Phase]:
        """Yield the phases that are still to come.

        Args:
            left: the share of the training's budget that is left, in [0, 1].
            run: the run directory with what is finished; None before the run.
            pictures: whether pictures will be drawn.
        """
        yield self.descend("curve", left)
        surveys = [*self._surveys(run or Path("nowhere", "at all"))]
        seconds = sum(phase.seconds for phase in surveys)
        off = sum(phase.seconds * phase.factor for phase in surveys) / seconds if seconds else 1.0
        yield Phase("survey", seconds, off)
        if pictures:
            yield PICTURES

    @property
    def _stores(self) -> list[str]:
        return [
            SURVEY,
            *(store for path, store in STORES.items() if path != "radial" or self.recipe.radial is not None),
        ]

    @property
    def _ensembles(self) -> int:
        """Return the number of paths on which ensembles are evaluated."""
        return len(ENSEMBLE_PATHS) * (self.recipe.config.ensembles and self.recipe.problem.loss.classifies)

    def _surveys(self, run: Path) -> Iterator[Phase]:
        examples = {name: len(split) for name, split in self.recipe.surveyed.items()}
        count = len(self.recipe.t)
        for store in self._stores:
            yield self._survey.phase(store, examples, count_points_left(run / store, count))
        in_plane = {name: len(split) for name, split in self.recipe.in_plane.items()}
        yield self._survey.phase(PLANE, in_plane, count_points_left(run / PLANE, self.recipe.config.plane**2))
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
        expected = self.paths * len(recipe.t) * along + config.plane**2 * in_plane
        grid = {CURVE: recipe.t.numpy()}
        return SurveyCost(recipe, self.survey_engine, grid, expected, config.seconds or 0.0, recipe.straight)
