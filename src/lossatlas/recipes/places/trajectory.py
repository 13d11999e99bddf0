"""Along the way of a training."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from lossatlas.charts import Slice
from lossatlas.directions import Around, directions
from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.recipes.place import Box, Laid, Network, Place, SurveyedPath
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.slicing import around_of, check_finite, notes_of, sliced
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.training import Trajectory
from lossatlas.training.way import Projection, Way
from lossatlas.views.data import percent
from lossatlas.weights.files import load_state

__all__ = ["AlongTrajectory"]

ELSEWHERE = (("random", "random"), ("solution", "random"))
"""Planes that the same path is shown in for comparison (Li et al. 2018, Figure 8)."""
NARROWEST = 0.25
"""The shortest axis, as a share of the longest: a path that hardly moves along an axis shall be seen to do so."""
MARGIN = 0.2


class AlongTrajectory(Place):
    """A slice around the end of a recorded way, with the way on it."""

    def lay(self, config: SurveyConfig, base: ProblemRecipe) -> Laid:
        if config.draws > 1:
            raise BadInput("a trajectory is shown in one plane; leave out the draws, or survey its end as a checkpoint")
        way = Way(Trajectory.of(Path(config.trajectory)), base.space)
        end = f"the end of {config.trajectory}"
        load_state(base.problem.module, way.snapshots[-1].state(), end)
        check_finite(base.problem.module, end)
        origin = base.space.vector_of(base.problem.module)
        around = around_of(config, base.space, origin, way)
        chart, names, ends = sliced(config, around)
        assert isinstance(chart, Slice)
        path = _path(way, chart, around)
        labels = {
            axis: f"{names[axis]} ({percent(share)})" if share is not None else names[axis]
            for axis, share in zip_longest(chart.axes, path.here.shares.tolist())
        }
        steps = str([snapshot.step for snapshot in way.snapshots])
        return Laid(
            chart=chart,
            labels=labels,
            boxes=_boxes(chart.axes, path.here, config.margin if config.margin is not None else MARGIN),
            networks=(Network(Path(config.trajectory).name, (0.0,) * len(chart.axes), origin), *ends),
            path=path,
            notes=notes_of(config, around),
            fingerprints={"trajectory": fingerprint([("start", way.vector(0))], steps)},
        )


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


def _boxes(axes: tuple[str, ...], path: Projection, margin: float) -> dict[str, Box]:
    lows, highs = path.coords.min(dim=0).values, path.coords.max(dim=0).values
    extents = (highs - lows).clamp(min=NARROWEST * float((highs - lows).max())) * (0.5 + margin)
    middles = (lows + highs) / 2
    return {
        axis: (float(middle - extent), float(middle + extent))
        for axis, middle, extent in zip(axes, middles, extents, strict=True)
    }
