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
    """Gaussian directions, uniform on the unit sphere, then normalised as asked for."""

    is_random = True

    def make_vectors(self, count: int, around: Around) -> Tensor:
        weights = around.origin.double()
        found = []
        for number in range(count):
            # Each direction has a random stream of its own, so that adding an axis does not change the others.
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
    """Return the error for a random direction of length zero, with its cause."""
    if around.without_vectors and all(len(entry.shape) < 2 for entry in around.space.entries):
        return BadInput(
            "random directions are zero: all parameters that vary have one dimension, as biases do, and these are "
            "held; let them vary with --ignore none --normalize none (in Python without_vectors=False, "
            "normalize='none')"
        )
    return BadInput(
        "random directions are zero: they are scaled to the network's filters, and these are zero; leave them "
        "unnormalised with --normalize none (in Python normalize='none')"
    )
