"""``RUN@points:K``: points spread over a chart."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from lossatlas.charts import Chart, Curve
from lossatlas.charts.forms import sample_barycentric
from lossatlas.ensembles.members import Members
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.member_kind import PointsKind, parse_number
from lossatlas.recipes.member_points import open_chart, take_points
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.schema import SAMPLE
from lossatlas.streams import make_generator

__all__ = ["POINTS"]

USUAL = 11


@final
class _Points(PointsKind):
    form = "[:K]"
    words = (
        f"K points of a chart ({USUAL} by default): of a curve or a line evenly from one end to the other, "
        "between further networks at random in the figure that they span, of a posterior its first samples, of other "
        "charts at random between -1 and 1"
    )

    def find(self, place: str, argument: str, config: EnsembleConfig, base: ProblemRecipe) -> Members:
        count = parse_number(f"{place}@points:{argument}", argument) or USUAL
        run, chart = open_chart(place, base)
        return take_points(run, chart, _spread(chart, count, config.sample_seed), base)


def _spread(chart: Chart, count: int, seed: int) -> Tensor:
    """Choose coordinates (count, d)."""
    if chart.axes == (SAMPLE,):
        return torch.arange(count, dtype=torch.float64)[:, None]
    axes, generator = len(chart.axes), make_generator(seed, "points")
    if isinstance(chart, Curve) or (axes == 1 and chart.interpolation == "barycentric"):
        return torch.linspace(0, 1, count, dtype=torch.float64)[:, None]
    if len(corners := chart.corner_coords()) > 1:  # in whatever unit its coordinates are
        others = sample_barycentric(count, len(corners) - 1, generator)
        shares = torch.cat([1 - others.sum(dim=1, keepdim=True), others], dim=1)
        return shares @ corners
    return 2 * torch.rand(count, axes, generator=generator, dtype=torch.float64) - 1


POINTS = _Points()
