"""``RUN@swa``: the mean of the snapshots of a training."""

from __future__ import annotations

from pathlib import Path
from typing import final

from lossatlas.ensembles.members import Members
from lossatlas.errors import BadInput
from lossatlas.recipes.averages import load_moments
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.member_averages import take_average
from lossatlas.recipes.member_kind import PointsKind
from lossatlas.recipes.problem import ProblemRecipe

__all__ = ["SWA"]


@final
class _Swa(PointsKind):
    form = ""
    words = (
        "stochastic weight averaging: the mean of a training's iterates, from its --average or else its snapshots, "
        "with statistics re-estimated"
    )

    def find(self, place: str, argument: str, config: EnsembleConfig, base: ProblemRecipe) -> Members:
        if argument:
            raise BadInput(f"{place}@swa takes no argument; leave out ':{argument}'")
        moments, note = load_moments(Path(place), base.space, config.average_rank, config.average_from)
        return take_average(place, "swa", moments.mean, note, base)


SWA = _Swa()
