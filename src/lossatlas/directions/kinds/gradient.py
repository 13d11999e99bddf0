"""The gradient at the centre."""

from __future__ import annotations

from torch import Tensor

from lossatlas.directions.direction import Around, Direction, require_centre
from lossatlas.errors import BadInput

__all__ = ["Gradient"]


class Gradient(Direction):
    """The gradient of the mean loss at the centre, of length 1: the direction of steepest ascent."""

    is_derived = True

    def make_vectors(self, count: int, around: Around) -> Tensor:
        if count > 1:
            raise BadInput(
                f"direction 'gradient' is given for {count} axes; expected one axis: choose others for the rest"
            )
        gradient = require_centre(around, "gradient").gradient.double()
        if not gradient.isfinite().all():
            raise BadInput("the gradient at the centre is not finite, so it defines no direction; choose another")
        length = gradient.norm()
        if not length > 0:
            raise BadInput("the gradient at the centre is zero, so it defines no direction; choose another")
        unit: Tensor = gradient / length
        return unit[None].to(around.origin)

    def label(self, number: int) -> str:
        return "gradient"
