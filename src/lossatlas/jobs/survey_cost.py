"""The cost of a survey, measured on a few of its points, and the number of points that are left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossatlas.charts import Chart
from lossatlas.engine import Engine
from lossatlas.engine.strategy import STRATEGIES
from lossatlas.jobs.forecast import Phase
from lossatlas.jobs.sampling import FEW, Rate, Work, sample_points
from lossatlas.recipes.chart_recipe import ChartRecipe
from lossatlas.schema import TILE_POINTS
from lossatlas.streams import make_generator
from lossatlas.surveying.arrays import Grid
from lossatlas.surveying.store import count_evaluated, glance_at
from lossatlas.surveying.surveyor import STREAMING

__all__ = ["Left", "SurveyCost", "count_points_left"]

Left = Callable[[str, str], float]
"""A function from a split and a group of metrics to the number of points that are still to be evaluated."""


@dataclass
class SurveyCost:
    """The cost of evaluating points of a chart, measured on a few of them when it is first needed.

    Attributes:
        recipe: The recipe of the survey.
        engine: The engine of the survey.
        grid: The coordinates along the axes of the chart.
        expected: The approximate total of points times examples, of whose time measuring may take a share.
        besides: The seconds that the run takes for other things, of which measuring may take a share, too.
        chart: The chart; default that of the recipe.
    """

    recipe: ChartRecipe[Any]
    engine: Engine
    grid: Grid
    expected: float
    besides: float = 0.0
    chart: Chart | None = None
    most: int = field(init=False)
    """The largest number of points that the plan evaluates at once."""

    def __post_init__(self) -> None:
        tile = getattr(self.recipe.config, "tile_points", TILE_POINTS)
        self.most = min(tile, int(np.prod([len(coords) for coords in self.grid.values()])))

    def phase(self, name: str, examples: Mapping[str, int], points: Left | float) -> Phase:
        """Return the phase of a survey.

        Args:
            name: the name of the phase.
            examples: the number of examples by split.
            points: the number of points that are still to be evaluated.
        """
        left = points if callable(points) else lambda *_: points
        parts = [
            (rate.seconds * left(split, group) * (self.recipe.survey_buffers.passes + count), rate.factor)
            for group, rate in self.rates.items()
            for split, count in examples.items()
        ]
        seconds = sum(part for part, _ in parts)
        factor = sum(part * off for part, off in parts) / seconds if seconds else 1.0
        return Phase(name, seconds, factor)

    @cached_property
    def rates(self) -> dict[str, Rate]:
        """Return the rate by group of metrics, per point and example, including those that statistics come from."""
        split = self.recipe.data.splits[next(iter(self.recipe.surveyed))]
        whole = split.subset(min(self.recipe.config.eval_batch_size, len(split)), make_generator(0, "foretold"))
        sizes = {min(FEW, len(whole)): whole.subset(FEW, make_generator(0, "foretold few")), len(whole): whole}
        splits = {str(size): split.to(self.engine.network.device) for size, split in sizes.items()}
        surveyor = self.recipe.build_surveyor(self.engine, self.chart, splits)
        chunks = surveyor.chunks()
        found = {}
        for name, chunk in chunks.items():
            strategy = STRATEGIES[self._strategy(name)]
            work = Work(
                units=self.expected,
                points=min(chunk, self.most),
                examples=len(whole),
                apart=1 if strategy.stacks_points else min(self.engine.plan.threads, self.most),
                stacks=strategy.stacks_points,
                passed=self.recipe.survey_buffers.passes,
            )

            def run(points: int, examples: int, name: str = name) -> object:
                return surveyor.at(self._points(points), str(examples), name)

            found[name] = sample_points(run, work, self.besides)
        return found

    @property
    def unit(self) -> Rate:
        """Return the rate of all groups of metrics together."""
        seconds = sum(rate.seconds for rate in self.rates.values())
        return Rate(seconds, sum(rate.seconds * rate.factor for rate in self.rates.values()) / seconds)

    def _strategy(self, group: str) -> str:
        plan = self.engine.plan
        return plan.evaluate.strategy if group == STREAMING else plan.derivatives.strategy

    def _points(self, count: int) -> Tensor:
        """Return ``count`` points (count, d) that are spread over the grid."""
        shape = [len(coords) for coords in self.grid.values()]
        places = np.linspace(0, np.prod(shape) - 1, count).round().astype(np.intp)
        each = [
            coords[index] for coords, index in zip(self.grid.values(), np.unravel_index(places, shape), strict=True)
        ]
        return torch.from_numpy(np.stack(each, axis=1).astype(np.float64))


def count_points_left(store: Path, points: float) -> Left | float:
    """Count the points of a store that are still to be evaluated; all if the store does not exist yet.

    Args:
        store: the store of a survey.
        points: the number of points of the finished survey.
    """
    if glance_at(store) is None:
        return points

    def left(split: str, group: str) -> float:
        return max(0.0, points - count_evaluated(store, split, group))

    return left
