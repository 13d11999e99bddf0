"""Principal components of a trajectory."""

from __future__ import annotations

from torch import Tensor

from lossatlas.directions.direction import Around, Direction, require_trajectory

__all__ = ["Component"]


class Component(Direction):
    """The principal components of a recorded trajectory, by decreasing variance (Li et al. 2018, section 7.2)."""

    def make_vectors(self, count: int, around: Around) -> Tensor:
        return require_trajectory(around, "component").components(count, around.memory).to(around.origin.dtype)

    def label(self, number: int) -> str:
        return f"principal component {number + 1}"
