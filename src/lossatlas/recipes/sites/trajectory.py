"""Surveys along the trajectory of a training."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from lossatlas.charts import Slice
from lossatlas.directions import Around, make_directions
from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.recipes.base import require
from lossatlas.recipes.held_out import check_held_out
from lossatlas.recipes.networks import check_finite
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.site import Box, Network, SiteKind, SurveyedTrajectory, SurveySite
from lossatlas.recipes.slicing import list_notes, make_around, make_slice
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.training import Trajectory
from lossatlas.training.weight_trajectory import Projection, WeightTrajectory
from lossatlas.views.scales import percent
from lossatlas.weights.files import load_state

__all__ = ["AlongTrajectory"]

ELSEWHERE = (("random", "random"), ("solution", "random"))
"""The planes onto which the trajectory is also projected for comparison (Li et al. 2018, Figure 8)."""
NARROWEST = 0.25
"""The shortest axis as a share of the longest, so that little movement along an axis is visible as such."""
MARGIN = 0.2


class AlongTrajectory(SiteKind):
    """A slice around the end of a recorded trajectory, with the projection of the trajectory."""

    def build(self, config: SurveyConfig, base: ProblemRecipe) -> SurveySite:
        if require(config.repeats) > 1:
            raise BadInput(
                "a trajectory is shown in one plane; leave out the repeats, or survey its end as a checkpoint"
            )
        folder = require(config.trajectory)
        check_held_out(folder, base)
        trajectory = WeightTrajectory(Trajectory.of(Path(folder)), base.space)
        end = f"the end of {folder}"
        load_state(base.problem.module, trajectory.snapshots[-1].state(), end)
        check_finite(base.problem.module, end)
        origin = base.space.vector_of(base.problem.module)
        around = make_around(config, base, origin, trajectory)
        chart, ends = make_slice(config, around, self.held)
        assert isinstance(chart, Slice)
        followed = _follow(trajectory, chart, around)
        if chart is not self.held:  # which has the shares in its labels
            chart.axis_labels = {
                axis: f"{label} ({percent(share)})" if share is not None else label
                for (axis, label), share in zip_longest(chart.axis_labels.items(), followed.here.shares.tolist())
            }
        # All snapshots: what lies between the ends decides the main directions, and where the trajectory is drawn.
        vectors = ((f"step {each.step}", trajectory.vector(i)) for i, each in enumerate(trajectory.snapshots))
        return SurveySite(
            chart=chart,
            boxes=_boxes(chart.axes, followed.here, config.margin if config.margin is not None else MARGIN),
            networks=(Network(Path(folder).name, (0.0,) * len(chart.axes), origin), *ends),
            trajectory=followed,
            notes=list_notes(config, around),
            fingerprints={"trajectory": fingerprint(vectors)},
        )


def _follow(trajectory: WeightTrajectory, chart: Slice, around: Around) -> SurveyedTrajectory:
    explained = trajectory.explained(around.memory)
    if not explained.any():
        raise BadInput(
            "the snapshots of the trajectory are all equal, so there is nothing to survey; record another one"
        )
    return SurveyedTrajectory(
        trajectory, trajectory.project(chart.origin, chart.directions), explained, _elsewhere(around)
    )


def _elsewhere(around: Around) -> dict[str, Projection]:
    """Project the trajectory onto the planes for comparison, as far as they exist."""
    found = {}
    for kinds in ELSEWHERE:
        try:
            vectors, names = make_directions(kinds, around)
        except BadInput:
            continue  # a trajectory that ends where it started does not define a direction
        assert around.trajectory is not None
        found[" and ".join(names)] = around.trajectory.project(around.origin, vectors)
    return found


def _boxes(axes: tuple[str, ...], there: Projection, margin: float) -> dict[str, Box]:
    lows, highs = there.coords.min(dim=0).values, there.coords.max(dim=0).values
    extents = (highs - lows).clamp(min=NARROWEST * float((highs - lows).max())) * (0.5 + margin)
    middles = (lows + highs) / 2
    return {
        axis: (float(middle - extent), float(middle + extent))
        for axis, middle, extent in zip(axes, middles, extents, strict=True)
    }
