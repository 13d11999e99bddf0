"""Normalisations: random directions at the scale of the network that they start from."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lossatlas.registry import Variants
from lossatlas.weights import Entry, WeightSpace

__all__ = ["NORMALISATIONS", "AsDrawn", "Normalisation", "PerFilter", "PerLayer", "PerWeight", "normalise"]

TINY = 1e-10
"""As in the authors' code, beside the length of a drawn filter."""


class Normalisation(ABC):
    """What becomes of a direction in one parameter of two or more dimensions."""

    touches_vectors: bool = True
    """Whether parameters of one dimension (biases, scales of normalisations) become the network's own."""

    @abstractmethod
    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        """The direction (size,) in a parameter whose weights are (size,)."""


class AsDrawn(Normalisation):
    """Nothing is changed."""

    touches_vectors = False

    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        return direction


class PerFilter(Normalisation):
    """Each filter, a slice of dimension 0, as long as the network's: ``d_i <- d_i |w_i| / (|d_i| + 1e-10)``."""

    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        drawn, own = (values.view(entry.filter_count, -1) for values in (direction, weights))
        lengths = own.norm(dim=1, keepdim=True) / (drawn.norm(dim=1, keepdim=True) + TINY)
        scaled: Tensor = drawn * lengths
        return scaled.reshape(-1)


class PerLayer(Normalisation):
    """Each parameter as long as the network's: ``d <- d |w| / |d|``."""

    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        scaled: Tensor = direction * (weights.norm() / direction.norm())
        return scaled


class PerWeight(Normalisation):
    """Each number times the network's: ``d <- d w``."""

    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        return direction * weights


NORMALISATIONS: Variants[type[Normalisation]] = Variants(
    "normalisation", {"filter": PerFilter, "layer": PerLayer, "none": AsDrawn, "weight": PerWeight}
)


def normalise(
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
