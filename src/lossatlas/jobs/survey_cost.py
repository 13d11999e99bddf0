"""What a survey takes, measured on a few of its points, and how much of it is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossatlas.charts import CoefficientChart
from lossatlas.engine import Engine
from lossatlas.engine.strategy import STRATEGIES
from lossatlas.jobs.forecast import Phase
from lossatlas.jobs.sampling import FEW, Rate, Work, sample_points
from lossatlas.recipes.chart_recipe import ChartRecipe
from lossatlas.streams import make_generator
from lossatlas.surveying.arrays import TILE_POINTS, Grid
from lossatlas.surveying.store import count_evaluated, glance_at
from lossatlas.surveying.survey import STREAMING

__all__ = ["Left", "SurveyCost", "count_points_left"]

Left = Callable[[str, str], float]
"""From a split and a group of metrics to how many points are to be evaluated."""


@dataclass
class SurveyCost:
    """What evaluating points of a chart takes, measured on a few of them when it is first asked for.

    Attributes:
        recipe: of the survey.
        engine: likewise.
        grid: coordinates along the axes of a chart.
        expected: points times examples in all, about: measuring takes a share of that.
        besides: seconds that the run takes for other things, of which measuring takes a share, too.
        chart: where; default the recipe's.
    """

    recipe: ChartRecipe[Any]
    engine: Engine
    grid: Grid
    expected: float
    besides: float = 0.0
    chart: CoefficientChart | None = None
    most: int = field(init=False)
    """Points that are evaluated at once, as far as the plan lets them."""

    def __post_init__(self) -> None:
        self.most = min(TILE_POINTS, int(np.prod([len(coords) for coords in self.grid.values()])))

    def phase(self, name: str, examples: Mapping[str, int], points: Left | float) -> Phase:
        """What a survey takes.

        Args:
            name: of the phase.
            examples: by split.
            points: how many there are to be evaluated.
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
        """By group of metrics what a unit takes: a point on an example, or one that passes for its statistics."""
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
        """What a unit takes for all groups of metrics."""
        seconds = sum(rate.seconds for rate in self.rates.values())
        return Rate(seconds, sum(rate.seconds * rate.factor for rate in self.rates.values()) / seconds)

    def _strategy(self, group: str) -> str:
        plan = self.engine.plan
        return plan.evaluate.strategy if group == STREAMING else plan.derivatives.strategy

    def _points(self, count: int) -> Tensor:
        """So many points (count, d) that are spread over the grid."""
        shape = [len(coords) for coords in self.grid.values()]
        places = np.linspace(0, np.prod(shape) - 1, count).round().astype(np.intp)
        each = [
            coords[index] for coords, index in zip(self.grid.values(), np.unravel_index(places, shape), strict=True)
        ]
        return torch.from_numpy(np.stack(each, axis=1).astype(np.float64))


def count_points_left(store: Path, points: float) -> Left | float:
    """How many points of a store are to be evaluated; all of them where there is none yet.

    Args:
        store: of a survey.
        points: that it will have.
    """
    if glance_at(store) is None:
        return points

    def left(split: str, group: str) -> float:
        return max(0.0, points - count_evaluated(store, split, group))

    return left
