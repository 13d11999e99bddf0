"""Random directions."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.directions.direction import Around, Direction
from lossatlas.streams import generator

__all__ = ["Random"]


class Random(Direction):
    """Gaussian, uniform over all directions of the space."""

    def vectors(self, count: int, around: Around) -> Tensor:
        # One stream each, so that a further axis leaves the others as they are.
        streams = [generator(around.seed, "directions/random", number) for number in range(count)]
        drawn = torch.stack(
            [torch.randn(around.space.size, generator=stream, dtype=torch.float64) for stream in streams]
        )
        units: Tensor = drawn / drawn.norm(dim=1, keepdim=True)
        return units.to(around.origin.dtype)

    def label(self, number: int) -> str:
        return f"random direction {number + 1}"
