"""``RUN@swa``: the mean of the iterates of a training."""

from __future__ import annotations

from pathlib import Path
from typing import final

from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.recipes.averages import load_moments
from lossatlas.recipes.member_kind import AverageKind
from lossatlas.recipes.problem import ProblemRecipe

__all__ = ["SWA"]


@final
class _Swa(AverageKind):
    form = ""
    words = (
        "stochastic weight averaging: the mean of a training's iterates, from its --average or else its snapshots, "
        "with statistics re-estimated; a network that all verbs take"
    )

    def average(self, place: str, argument: str, base: ProblemRecipe) -> tuple[Tensor, str]:
        if argument:
            raise BadInput(f"{place}@swa takes no argument; leave out ':{argument}'")
        moments, note = load_moments(Path(place), base.space, 0, base.average_from)
        return moments.mean, note


SWA = _Swa()
