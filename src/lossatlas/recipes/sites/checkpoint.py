"""Surveys around a network."""

from __future__ import annotations

from pathlib import Path

from lossatlas.recipes.base import require
from lossatlas.recipes.networks import load_networks
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.site import Network, SiteKind, SurveySite
from lossatlas.recipes.slicing import list_notes, make_around, make_slice
from lossatlas.recipes.survey_config import SurveyConfig

__all__ = ["AroundCheckpoint"]


class AroundCheckpoint(SiteKind):
    """A slice centred at the network of a file, a run or a snapshot (Li et al. 2018)."""

    def build(self, config: SurveyConfig, base: ProblemRecipe) -> SurveySite:
        checkpoint = require(config.checkpoint)
        loaded = load_networks([checkpoint], base)
        loaded.bring(base.problem.module)
        (origin,) = loaded.vectors
        around = make_around(config, base, origin)
        chart, ends = make_slice(config, around, self.held)
        centre = Network(Path(checkpoint).name, (0.0,) * len(config.kinds), origin)
        return SurveySite(
            chart=chart,
            boxes=dict.fromkeys(chart.axis_labels, (-1.0, 1.0)),
            networks=(centre, *ends),
            notes=(*loaded.notes, *list_notes(config, around)),
        )
