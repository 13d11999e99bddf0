"""``RUN@ema:DECAY``: the exponential average of the iterates of a training."""

from __future__ import annotations

from pathlib import Path
from typing import final

from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.recipes.averages import load_exponential
from lossatlas.recipes.member_kind import AverageKind
from lossatlas.recipes.problem import ProblemRecipe

__all__ = ["EMA"]


@final
class _Ema(AverageKind):
    form = "[:DECAY]"
    words = (
        "the exponential average of a training's weights, from its --average_decay or else of its snapshots with a "
        "stated decay, with statistics re-estimated; a network that all verbs take"
    )

    def average(self, place: str, argument: str, base: ProblemRecipe) -> tuple[Tensor, str]:
        average, note = load_exponential(Path(place), base.space, _parse_decay(place, argument), base.average_from)
        return average.value, note


def _parse_decay(place: str, argument: str) -> float | None:
    """Parse the decay; None where none is stated.

    Raises:
        BadInput: it is not a number between 0 and 1.
    """
    refused = BadInput(
        f"{argument!r} in {place}@ema:{argument} is not a decay; expected a number between 0 and 1, such as 0.9"
    )
    try:
        decay = float(argument) if argument else None
    except ValueError as error:
        raise refused from error
    if decay is not None and not 0 < decay < 1:
        raise refused
    return decay


EMA = _Ema()
