"""The direction through the solution."""

from __future__ import annotations

from torch import Tensor

from lossatlas.directions.direction import Around, Direction, require_trajectory
from lossatlas.errors import BadInput

__all__ = ["Solution"]


class Solution(Direction):
    """From the start of a recorded trajectory to its end (Goodfellow et al. 2015; Li et al. 2018, Figure 8)."""

    def make_vectors(self, count: int, around: Around) -> Tensor:
        if count > 1:
            raise BadInput(f"{count} axes ask for direction 'solution'; there is one, choose another for the others")
        trajectory = require_trajectory(around, "solution")
        step = trajectory.vector(len(trajectory) - 1).double() - trajectory.vector(0).double()
        if not step.norm() > 0:
            raise BadInput(
                "the trajectory ends where it started, so no direction leads through its solution; choose another"
            )
        unit: Tensor = step / step.norm()
        return unit[None].to(around.origin.dtype)

    def label(self, number: int) -> str:
        return "from start to solution"
