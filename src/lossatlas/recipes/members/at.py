"""``RUN@at:C,C;C,C``: points of a chart by their coordinates."""

from __future__ import annotations

import math
from typing import final

import torch

from lossatlas.ensembles.members import Members
from lossatlas.errors import BadInput
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.member_kind import PointsKind
from lossatlas.recipes.member_points import open_chart, take_points
from lossatlas.recipes.problem import ProblemRecipe

__all__ = ["AT"]


@final
class _At(PointsKind):
    form = ":C,C[;C,C...]"
    words = "points of a chart, by their coordinates along its axes"

    def find(self, place: str, argument: str, config: EnsembleConfig, base: ProblemRecipe) -> Members:
        run, chart = open_chart(place, base)
        try:
            coords = [[float(value) for value in point.split(",")] for point in argument.split(";")]
        except ValueError:
            coords = []
        if not coords or any(len(point) != len(chart.axes) or not all(map(math.isfinite, point)) for point in coords):
            example = ",".join(["0.5"] * len(chart.axes))
            raise BadInput(
                f"{argument!r} in {place}@at:{argument} are not points of the chart; expected a number for each of "
                f"{', '.join(chart.axes)}, as in {place}@at:{example}"
            )
        return take_points(run, chart, torch.tensor(coords, dtype=torch.float64), base)


AT = _At()
