"""``RUN@corners``: the networks that a chart passes through."""

from __future__ import annotations

from typing import final

from lossatlas.ensembles.members import Members
from lossatlas.errors import BadInput
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.member_kind import PointsKind
from lossatlas.recipes.member_points import open_chart, take_points
from lossatlas.recipes.problem import ProblemRecipe

__all__ = ["CORNERS"]


@final
class _Corners(PointsKind):
    form = ""
    words = "the networks that a chart passes through: the ends of a curve, the vertices of a simplex"

    def find(self, place: str, argument: str, config: EnsembleConfig, base: ProblemRecipe) -> Members:
        if argument:
            raise BadInput(f"{place}@corners takes no argument; leave out ':{argument}'")
        run, chart = open_chart(place, base)
        coords = chart.corner_coords()
        if not len(coords):
            raise BadInput(f"the chart in {place} passes through no networks; name points of it: {place}@at")
        return take_points(run, chart, coords, base)


CORNERS = _Corners()
