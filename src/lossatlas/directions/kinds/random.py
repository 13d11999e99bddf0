"""Random directions."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.directions.direction import Around, Direction
from lossatlas.directions.normalisation import normalised
from lossatlas.streams import generator

__all__ = ["Random"]


class Random(Direction):
    """Gaussian, uniform over all directions and of length 1 as they are drawn; normalised if that is asked for."""

    drawn = True

    def vectors(self, count: int, around: Around) -> Tensor:
        weights = around.origin.double()
        found = []
        for number in range(count):
            # One stream each, so that a further axis leaves the others as they are.
            stream = generator(around.seed, "directions/random", number)
            drawn = torch.randn(around.space.size, generator=stream, dtype=torch.float64)
            drawn = drawn / drawn.norm()
            found.append(normalised(drawn, weights, around.space, around.normalisation, around.without_vectors))
        return torch.stack(found).to(around.origin.dtype)

    def label(self, number: int) -> str:
        return f"random direction {number + 1}"
