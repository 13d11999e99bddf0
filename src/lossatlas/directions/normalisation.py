"""The interface of normalisations: random directions at the scale of the network that they start from."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lossatlas.registry import Registry
from lossatlas.weights import Entry, WeightSpace

__all__ = ["NORMALISATIONS", "Normalisation", "normalised"]

NORMALISATIONS: Registry[type[Normalisation]] = Registry("normalisation", "lossatlas.directions.normalisations")


class Normalisation(ABC):
    """What becomes of a direction in one parameter of two or more dimensions."""

    touches_vectors: bool = True
    """Whether parameters of one dimension (biases, scales of normalisations) become the network's own."""

    @abstractmethod
    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        """The direction (size,) in a parameter whose weights are (size,)."""


def normalised(
    direction: Tensor, weights: Tensor, space: WeightSpace, kind: Normalisation, without_vectors: bool
) -> Tensor:
    """A direction (n,) at the scale of weights (n,), parameter by parameter (Li et al. 2018, section 4).

    Args:
        direction: drawn.
        weights: of the network.
        space: theirs.
        kind: of normalisation.
        without_vectors: parameters of one dimension are held (``biasbn`` in the authors' code).
    """
    pieces = []
    for entry in space.entries:
        piece, own = direction[entry.slice], weights[entry.slice]
        if len(entry.shape) > 1:
            pieces.append(kind(piece, own, entry))
        elif without_vectors:
            pieces.append(torch.zeros_like(piece))
        else:
            pieces.append(own if kind.touches_vectors else piece)
    return torch.cat(pieces)
