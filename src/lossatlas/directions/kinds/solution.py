"""The direction through the solution."""

from __future__ import annotations

from torch import Tensor

from lossatlas.directions.direction import Around, Direction, the_way
from lossatlas.errors import BadInput

__all__ = ["Solution"]


class Solution(Direction):
    """From the start of a recorded way to its end (Goodfellow et al. 2015; Li et al. 2018, Figure 8)."""

    def vectors(self, count: int, around: Around) -> Tensor:
        if count > 1:
            raise BadInput(f"{count} axes ask for direction 'solution'; there is one, choose another for the others")
        way = the_way(around, "solution")
        step = way.vector(len(way) - 1).double() - way.vector(0).double()
        if not step.norm() > 0:
            raise BadInput("the way ends where it started, so no direction leads through its solution; choose another")
        unit: Tensor = step / step.norm()
        return unit[None].to(around.origin.dtype)

    def label(self, number: int) -> str:
        return "from start to solution"
