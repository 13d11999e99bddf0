"""The direction from the start of a training to its end."""

from __future__ import annotations

from torch import Tensor

from lossatlas.directions.direction import Around, Direction, require_trajectory
from lossatlas.errors import BadInput

__all__ = ["Solution"]


class Solution(Direction):
    """From the start of a recorded trajectory to its end (Goodfellow et al. 2015; Li et al. 2018, Figure 8)."""

    def make_vectors(self, count: int, around: Around) -> Tensor:
        if count > 1:
            raise BadInput(
                f"direction 'solution' is given for {count} axes; expected one axis: choose others for the rest"
            )
        trajectory = require_trajectory(around, "solution")
        step = trajectory.vector(len(trajectory) - 1).double() - trajectory.vector(0).double()
        if not step.norm() > 0:
            raise BadInput(
                "the trajectory ends where it started, so it has no direction from start to solution; choose another"
            )
        unit: Tensor = step / step.norm()
        return unit[None].to(around.origin.dtype)

    def label(self, number: int) -> str:
        return "from start to solution"
