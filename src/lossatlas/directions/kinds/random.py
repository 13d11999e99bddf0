"""Random directions."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.directions.direction import Around, Direction
from lossatlas.directions.normalisations import normalise
from lossatlas.errors import BadInput
from lossatlas.streams import make_generator

__all__ = ["Random"]


class Random(Direction):
    """Gaussian, uniform over all directions and of length 1 as they are drawn; normalised if that is asked for."""

    drawn = True

    def make_vectors(self, count: int, around: Around) -> Tensor:
        weights = around.origin.double()
        found = []
        for number in range(count):
            # One stream each, so that a further axis leaves the others as they are.
            stream = make_generator(around.seed, "directions/random", number)
            drawn = torch.randn(around.space.size, generator=stream, dtype=torch.float64)
            drawn = drawn / drawn.norm()
            found.append(normalise(drawn, weights, around.space, around.normalisation, around.without_vectors))
            if not found[-1].any():
                raise _zero(around)
        return torch.stack(found).to(around.origin.dtype)

    def label(self, number: int) -> str:
        return f"random direction {number + 1}"


def _zero(around: Around) -> BadInput:
    """Why nothing is left of a direction."""
    if around.without_vectors and all(len(entry.shape) < 2 for entry in around.space.entries):
        return BadInput(
            "random directions are zero: they hold parameters of one dimension, such as biases, and all that vary are; "
            "let these vary with --ignore none --normalize none (in Python without_vectors=False, normalize='none')"
        )
    return BadInput(
        "random directions are zero: they are as long as the network's filters, and these are zero; take them as they "
        "are drawn with --normalize none (in Python normalize='none')"
    )
