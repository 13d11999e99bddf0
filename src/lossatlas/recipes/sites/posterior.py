"""Surveys of samples of the posterior of a training."""

from __future__ import annotations

from pathlib import Path

from lossatlas.charts import Swag
from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.recipes.averages import load_moments, place_end
from lossatlas.recipes.base import require
from lossatlas.recipes.member_averages import describe_statistics
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.site import SiteKind, SurveySite
from lossatlas.recipes.survey_config import SurveyConfig

__all__ = ["OfPosterior"]


class OfPosterior(SiteKind):
    """Samples of the Gaussian that SWAG fits to a training's weights (Maddox et al. 2019, arXiv 1902.02476)."""

    def build(self, config: SurveyConfig, base: ProblemRecipe) -> SurveySite:
        if config.directions or require(config.repeats) > 1:
            raise BadInput("directions and repeats mean nothing for samples of a posterior; leave them out")
        run = Path(require(config.posterior))
        notes = place_end(run, base)
        moments, note = load_moments(run, base.space, config.average_rank, config.average_from)
        chart = Swag.of(moments, config.sample_seed)
        return SurveySite(
            chart=chart,
            boxes={},
            notes=(*notes, note, *describe_statistics(base, config.buffers)),
            fingerprints={"averages": fingerprint(sorted(chart.state_dict().items()))},
        )
