"""Surveys between networks."""

from __future__ import annotations

from lossatlas.charts import choose_chart_between, make_chart
from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.recipes.base import require
from lossatlas.recipes.networks import load_networks
from lossatlas.recipes.options import check_options
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.site import Network, SiteKind, SurveySite
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.schema import AXES

__all__ = ["BetweenNetworks"]


class BetweenNetworks(SiteKind):
    """The figure spanned by trained networks (Goodfellow et al. 2015; Im, Tao & Branson 2016; Garipov et al. 2018)."""

    def build(self, config: SurveyConfig, base: ProblemRecipe) -> SurveySite:
        if config.directions or require(config.repeats) > 1:
            raise BadInput("directions and repeats mean nothing between networks; leave them out")
        loaded = load_networks(config.between, base)
        loaded.bring(base.problem.module)
        kind = choose_chart_between(config.chart, len(loaded.names))
        options = check_options("chart", config.chart, config.chart_options)
        chart = make_chart(config.chart, kind.between_states, loaded.states, base.space, options)
        chart.check_spans()
        if len(chart.axes) > len(AXES):
            raise BadInput(
                f"{len(loaded.names)} networks span {len(chart.axes)} axes, too many for a picture; choose up to four"
            )
        chart.axis_labels = chart.labels(loaded.names)
        coords = chart.corner_coords()
        margin = config.margin if config.margin is not None else chart.margin
        lows, highs = coords.min(dim=0).values, coords.max(dim=0).values
        reach = (highs - lows) * margin
        return SurveySite(
            chart=chart,
            boxes={
                axis: (float(low - more), float(high + more))
                for axis, low, high, more in zip(chart.axes, lows, highs, reach, strict=True)
            },
            networks=tuple(
                Network(name, tuple(where), weights)
                for name, where, weights in zip(loaded.names, coords.tolist(), chart.corners.cpu(), strict=True)
            ),
            notes=loaded.notes,
            fingerprints={"networks": fingerprint(chart.state_dict().items())},
        )
