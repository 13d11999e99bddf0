"""The direction towards another network."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from lossatlas.directions.direction import Around, Direction
from lossatlas.errors import BadInput
from lossatlas.training.start import load_start
from lossatlas.weights.loading import flatten_state

__all__ = ["Towards"]


class Towards(Direction):
    """The direction from the centre of the slice to another network, which has the coordinate 1."""

    takes = "checkpoint"

    @property
    def end(self) -> str | None:
        return Path(self.argument).name

    def make_vectors(self, count: int, around: Around) -> Tensor:
        if count > 1:
            raise BadInput(
                f"direction 'towards:{self.argument}' is given for {count} axes; expected one axis: choose others for "
                "the rest"
            )
        other, notes = flatten_state(around.space, load_start(self.argument), f"checkpoint {self.argument}")
        around.notes.extend(notes)
        step = other.to(around.origin) - around.origin
        if not step.norm() > 0:
            raise BadInput(
                f"{self.argument} has the weights of the centre, so it defines no direction; choose another network"
            )
        return step[None]

    def label(self, number: int) -> str:
        return f"towards {self.end}"
