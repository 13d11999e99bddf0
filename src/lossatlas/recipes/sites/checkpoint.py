"""Around the weights of a file."""

from __future__ import annotations

from pathlib import Path

from lossatlas.recipes.base import stated
from lossatlas.recipes.networks import load_networks
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.site import Network, SiteKind, SurveySite
from lossatlas.recipes.slicing import around_of, notes_of, sliced
from lossatlas.recipes.survey_config import SurveyConfig

__all__ = ["AroundCheckpoint"]


class AroundCheckpoint(SiteKind):
    """A slice with the network of a file, a run or a snapshot in its centre (Li et al. 2018)."""

    def build(self, config: SurveyConfig, base: ProblemRecipe) -> SurveySite:
        checkpoint = stated(config.checkpoint)
        loaded = load_networks([checkpoint], base)
        (origin,) = loaded.vectors
        around = around_of(config, base.space, origin)
        chart, labels, ends = sliced(config, around)
        centre = Network(Path(checkpoint).name, (0.0,) * len(config.kinds), origin)
        return SurveySite(
            chart=chart,
            labels=labels,
            boxes=dict.fromkeys(labels, (-1.0, 1.0)),
            networks=(centre, *ends),
            notes=(*loaded.notes, *notes_of(config, around)),
        )
