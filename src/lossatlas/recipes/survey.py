"""From the configuration of a survey to its objects. Everything that can be refused is refused here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossatlas.charts import Plane
from lossatlas.data import Dataset, Split
from lossatlas.directions import Around, directions
from lossatlas.engine import BUFFERS, BuffersPolicy
from lossatlas.engine.memory import memory_limit
from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.metrics import metrics_for
from lossatlas.problem import Problem
from lossatlas.recipes.problem import build_problem, surveyed_subset
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.training import Trajectory
from lossatlas.training.way import Projection, Way
from lossatlas.views.data import percent
from lossatlas.weights import WeightSpace
from lossatlas.weights.files import load_state

__all__ = ["ELSEWHERE", "SurveyRecipe", "build_survey"]

ELSEWHERE = (("random", "random"), ("solution", "random"))
"""Planes that the same path is shown in for comparison (Li et al. 2018, Figure 8)."""
NARROWEST = 0.25
"""The shortest axis, as a share of the longest: a path that hardly moves along an axis shall be seen to do so."""


@dataclass(frozen=True)
class SurveyRecipe:
    """The objects of a survey, on its device; the module stands at the end of the way."""

    problem: Problem
    space: WeightSpace
    data: Dataset
    surveyed: dict[str, Split]
    metrics: list[str] | None
    buffers: BuffersPolicy
    chart: Plane
    labels: dict[str, str]
    """What each axis is called."""
    grid: dict[str, npt.NDArray[np.float64]]
    way: Way
    path: Projection
    explained: Tensor
    """(S,): shares of the path's variance along all its principal components."""
    elsewhere: dict[str, Projection]
    """The path in other planes, by what these are."""

    def fingerprints(self) -> dict[str, str]:
        """Hashes of what a configuration names and does not hold: data, and the snapshots' ends."""
        ends = (("start", self.way.vector(0)), ("end", self.way.vector(len(self.way) - 1)))
        return {
            **{f"data/{name}": split.fingerprint() for name, split in self.data.splits.items()},
            "trajectory": fingerprint(ends, str([snapshot.step for snapshot in self.way.snapshots])),
        }


def build_survey(config: SurveyConfig) -> SurveyRecipe:
    """The objects that a configuration stands for.

    Raises:
        BadInput: the first thing that is wrong with it.
    """
    if not config.trajectory:
        raise BadInput("a survey needs the way to a network; name a run of lossatlas train with --trajectory")
    trajectory = Trajectory.of(Path(config.trajectory))
    base = build_problem(config, config.splits)
    way = Way(trajectory, base.space)
    memory = memory_limit(config.memory, torch.device("cpu"))
    load_state(base.problem.module, way.snapshots[-1].state(), f"the end of {config.trajectory}")
    metrics = list(config.metrics) or None
    metrics_for(base.problem.loss, metrics)
    around = Around(base.space, way.vector(len(way) - 1), way, config.draw, memory)
    with one_thread():
        explained = way.explained(memory)
        if not explained.any():
            raise BadInput(f"the snapshots of {config.trajectory} are all alike, so there is no way to survey")
        chart, names = _plane(config.directions, around)
        path = way.project(chart.origin, chart.controls()[1:])
        elsewhere = _elsewhere(around)
    labels = {
        axis: f"{name} ({percent(share)})"
        for axis, name, share in zip(chart.axes, names, path.shares.tolist(), strict=True)
    }
    return SurveyRecipe(
        problem=base.problem,
        space=base.space,
        data=base.data,
        surveyed={
            name: surveyed_subset(config.examples, name, base.data.splits[name]).to(base.device)
            for name in config.splits
        },
        metrics=metrics,
        buffers=BUFFERS[config.buffers].for_run(base.train, config.group, config.buffers_batches),
        chart=chart.to(base.device),
        labels=labels,
        grid=_grid(config, chart.axes, path),
        way=way,
        path=path,
        explained=explained,
        elsewhere=elsewhere,
    )


def _plane(kinds: tuple[str, ...], around: Around) -> tuple[Plane, list[str]]:
    """The affine chart around the end, in units of Euclidean distance, the first axis exactly as it was asked for."""
    vectors, names = directions(kinds, around)
    return Plane(around.origin, vectors, order=range(len(vectors)), train_origin=False), names


def _elsewhere(around: Around) -> dict[str, Projection]:
    """The path in the planes for comparison, those that there are."""
    found = {}
    for kinds in ELSEWHERE:
        try:
            chart, names = _plane(kinds, around)
        except BadInput:
            continue  # a way that ends where it started has no direction through its solution
        assert around.way is not None
        found[" and ".join(names)] = around.way.project(chart.origin, chart.controls()[1:])
    return found


@contextmanager
def one_thread() -> Iterator[None]:
    """While entered, sums are formed in one order: a grid must not depend on how many threads a machine has."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def _grid(config: SurveyConfig, axes: tuple[str, ...], path: Projection) -> dict[str, npt.NDArray[np.float64]]:
    counts = config.grid * len(axes) if len(config.grid) == 1 else config.grid
    lows, highs = path.coords.min(dim=0).values, path.coords.max(dim=0).values
    extents = (highs - lows).clamp(min=NARROWEST * float((highs - lows).max())) * (0.5 + config.margin)
    middles = (lows + highs) / 2
    return {
        axis: np.linspace(float(middle - extent), float(middle + extent), count)
        for axis, middle, extent, count in zip(axes, middles, extents, counts, strict=True)
    }
