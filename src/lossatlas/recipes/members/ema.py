"""``RUN@ema:DECAY``: the exponential average of the snapshots of a training."""

from __future__ import annotations

from pathlib import Path
from typing import final

from lossatlas.ensembles.members import Members
from lossatlas.errors import BadInput
from lossatlas.recipes.averages import load_exponential
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.member_averages import take_average
from lossatlas.recipes.member_kind import PointsKind
from lossatlas.recipes.problem import ProblemRecipe

__all__ = ["EMA"]


@final
class _Ema(PointsKind):
    form = "[:DECAY]"
    words = (
        "the exponential average of a training's weights, from its --average_decay or else of its snapshots with a "
        "stated decay, with statistics re-estimated"
    )

    def find(self, place: str, argument: str, config: EnsembleConfig, base: ProblemRecipe) -> Members:
        try:
            decay = float(argument) if argument else None
        except ValueError:
            decay = 2.0
        if decay is not None and not 0 < decay < 1:
            raise BadInput(
                f"{argument!r} in {place}@ema:{argument} is not a decay; expected a number between 0 and 1, such as 0.9"
            )
        average, note = load_exponential(Path(place), base.space, decay, config.average_from)
        return take_average(place, f"ema{':' * bool(argument)}{argument}", average.value, note, base)


EMA = _Ema()
