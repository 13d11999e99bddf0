"""From the configuration of a survey to its objects. Everything that can be refused is refused here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lossatlas.charts import Slice
from lossatlas.data import Dataset, Split
from lossatlas.directions import NORMALISATIONS, Around, directions
from lossatlas.engine import BUFFERS, BuffersPolicy
from lossatlas.engine.memory import memory_limit
from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.metrics import metrics_for
from lossatlas.problem import Problem
from lossatlas.recipes.problem import build_problem, surveyed_subset
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.training import Trajectory
from lossatlas.training.start import starting_state
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
class SurveyedPath:
    """A way and where it runs."""

    way: Way
    here: Projection
    """In the survey's own plane."""
    explained: Tensor
    """(S,): shares of the path's variance along all its principal components."""
    elsewhere: dict[str, Projection]
    """In other planes, by what these are."""


@dataclass(frozen=True)
class SurveyRecipe:
    """The objects of a survey, on its device; the module stands at the centre."""

    problem: Problem
    space: WeightSpace
    data: Dataset
    surveyed: dict[str, Split]
    metrics: list[str] | None
    buffers: BuffersPolicy
    chart: Slice
    labels: dict[str, str]
    """What each axis is called."""
    grid: dict[str, npt.NDArray[np.float64]]
    path: SurveyedPath | None

    def fingerprints(self) -> dict[str, str]:
        """Hashes of what a configuration names and does not hold: data, weights, and the ends of a way."""
        found = {f"data/{name}": split.fingerprint() for name, split in self.data.splits.items()}
        found["centre"] = fingerprint(self.problem.module.state_dict().items())
        if self.path is not None:
            steps = str([snapshot.step for snapshot in self.path.way.snapshots])
            found["trajectory"] = fingerprint([("start", self.path.way.vector(0))], steps)
        return found


def build_survey(config: SurveyConfig) -> SurveyRecipe:
    """The objects that a configuration stands for.

    Raises:
        BadInput: the first thing that is wrong with it.
    """
    base = build_problem(config, config.splits)
    module, space = base.problem.module, base.space
    way, origin = _centre(config, module, space)
    metrics = list(config.metrics) or None
    metrics_for(base.problem.loss, metrics)
    around = Around(
        space,
        origin,
        NORMALISATIONS[config.normalize](),
        config.ignore == "biasbn",
        way,
        config.draw,
        memory_limit(config.memory, torch.device("cpu")),
    )
    with one_thread():
        vectors, names = directions(config.kinds, around)
        chart = Slice(origin, vectors)
        path = _path(way, chart, around) if way is not None else None
    shares = path.here.shares.tolist() if path is not None else []
    labels = {
        axis: f"{name} ({percent(share)})" if share is not None else name
        for axis, name, share in zip_longest(chart.axes, names, shares)
    }
    return SurveyRecipe(
        problem=base.problem,
        space=space,
        data=base.data,
        surveyed={
            name: surveyed_subset(config.examples, name, base.data.splits[name]).to(base.device)
            for name in config.splits
        },
        metrics=metrics,
        buffers=BUFFERS[config.buffers].for_run(base.train, config.group, config.buffers_batches),
        chart=chart.to(base.device),
        labels=labels,
        grid=_grid(config, chart.axes, path.here if path is not None else None),
        path=path,
    )


def _centre(config: SurveyConfig, module: nn.Module, space: WeightSpace) -> tuple[Way | None, Tensor]:
    """Where the survey lies, (n,), which the module is brought to, and how the network got there."""
    if config.checkpoint:
        load_state(module, starting_state(config.checkpoint), f"checkpoint {config.checkpoint}")
        return None, space.vector_of(module)
    if not config.trajectory:
        raise BadInput("a survey needs a network; name its weights with --checkpoint, or its way with --trajectory")
    way = Way(Trajectory.of(Path(config.trajectory)), space)
    load_state(module, way.snapshots[-1].state(), f"the end of {config.trajectory}")
    return way, space.vector_of(module)


def _path(way: Way, chart: Slice, around: Around) -> SurveyedPath:
    explained = way.explained(around.memory)
    if not explained.any():
        raise BadInput("the snapshots of the trajectory are all alike, so there is no way to survey")
    return SurveyedPath(way, way.project(chart.origin, chart.directions), explained, _elsewhere(around))


def _elsewhere(around: Around) -> dict[str, Projection]:
    """The path in the planes for comparison, those that there are."""
    found = {}
    for kinds in ELSEWHERE:
        try:
            vectors, names = directions(kinds, around)
        except BadInput:
            continue  # a way that ends where it started has no direction through its solution
        assert around.way is not None
        found[" and ".join(names)] = around.way.project(around.origin, vectors)
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


def _grid(config: SurveyConfig, axes: tuple[str, ...], path: Projection | None) -> dict[str, npt.NDArray[np.float64]]:
    counts = config.grid * len(axes) if len(config.grid) == 1 else config.grid
    if path is None:
        return {axis: np.linspace(*config.range, count) for axis, count in zip(axes, counts, strict=True)}
    lows, highs = path.coords.min(dim=0).values, path.coords.max(dim=0).values
    extents = (highs - lows).clamp(min=NARROWEST * float((highs - lows).max())) * (0.5 + config.margin)
    middles = (lows + highs) / 2
    return {
        axis: np.linspace(float(middle - extent), float(middle + extent), count)
        for axis, middle, extent, count in zip(axes, middles, extents, counts, strict=True)
    }
