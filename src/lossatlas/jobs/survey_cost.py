"""What a survey takes, measured on a few of its points, and how much of it is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lossatlas.charts import CoefficientChart
from lossatlas.data import Split
from lossatlas.engine import Engine, Metric
from lossatlas.engine.strategy import STRATEGIES
from lossatlas.jobs.forecast import Phase
from lossatlas.jobs.sampling import FEW, Rate, Work, sample_points
from lossatlas.schema import done_variable
from lossatlas.streams import make_generator
from lossatlas.surveying import Surveyor
from lossatlas.surveying.arrays import TILE_POINTS, Grid
from lossatlas.surveying.store import glance_at
from lossatlas.surveying.survey import STREAMING

__all__ = ["Left", "SurveyCost", "points_left"]

Left = Callable[[str, str], float]
"""From a split and a group of metrics to how many points are to be evaluated."""


@dataclass
class SurveyCost:
    """What evaluating points of a chart takes, measured on a few of them when it is first asked for.

    Attributes:
        engine: of the survey.
        chart: where.
        grid: coordinates along its axes.
        metrics: by name.
        split: examples of the kind that is surveyed.
        eval_batch_size: how many of them are evaluated together.
        passed: examples that go through the network of each point besides, for its statistics.
        expected: points times examples in all, about: measuring takes a share of that.
        besides: seconds that the run takes for other things, of which measuring takes a share, too.
    """

    engine: Engine
    chart: CoefficientChart
    grid: Grid
    metrics: Mapping[str, Metric]
    split: Split
    eval_batch_size: int
    passed: int
    expected: float
    besides: float = 0.0
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
            (rate.seconds * left(split, group) * (self.passed + count), rate.factor)
            for group, rate in self.rates.items()
            for split, count in examples.items()
        ]
        seconds = sum(part for part, _ in parts)
        factor = sum(part * off for part, off in parts) / seconds if seconds else 1.0
        return Phase(name, seconds, factor)

    @cached_property
    def rates(self) -> dict[str, Rate]:
        """By group of metrics what a unit takes: a point on an example, or one that passes for its statistics."""
        whole = self.split.subset(min(self.eval_batch_size, len(self.split)), make_generator(0, "foretold"))
        sizes = {min(FEW, len(whole)): whole.subset(FEW, make_generator(0, "foretold few")), len(whole): whole}
        splits = {str(size): split.to(self.engine.network.device) for size, split in sizes.items()}
        surveyor = Surveyor(self.engine, self.chart, splits, self.metrics, self.eval_batch_size)
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
                passed=self.passed,
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


def points_left(store: Path, points: float) -> Left | float:
    """How many points of a store are to be evaluated; all of them where there is none yet.

    Args:
        store: of a survey.
        points: that it will have.
    """
    stored = glance_at(store)
    if stored is None:
        return points

    def left(split: str, group: str) -> float:
        name = done_variable(split, group)
        try:
            return max(0.0, points - float(stored[name].values.sum())) if name in stored else points
        except Exception:  # a mark that is damaged marks nothing; zarr has many ways to say so
            return points

    return left
