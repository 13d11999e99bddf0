"""Normalisations of random directions to the scale of the network's weights (Li et al. 2018, section 4)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lossatlas.registry import Variants
from lossatlas.weights import Entry, WeightSpace

__all__ = ["NORMALISATIONS", "Normalisation", "PerFilter", "PerLayer", "PerWeight", "Unnormalised", "normalise"]

TINY = 1e-10
"""The constant added to the norm of a random filter, as in the code of Li et al. 2018."""


class Normalisation(ABC):
    """How a direction is scaled in one parameter of two or more dimensions."""

    touches_vectors: bool = True
    """Whether a direction is set to the network's own weights in parameters of one dimension, such as biases."""

    @abstractmethod
    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        """Return the scaled direction, (size,), in a parameter whose weights are (size,)."""


class Unnormalised(Normalisation):
    """Leave the direction as it was sampled."""

    touches_vectors = False

    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        return direction


class PerFilter(Normalisation):
    """Scale each filter, a slice of dimension 0, to the norm of the network's: ``d_i <- d_i |w_i| / (|d_i| +
    1e-10)``.
    """

    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        drawn, own = (values.view(entry.filter_count, -1) for values in (direction, weights))
        lengths = own.norm(dim=1, keepdim=True) / (drawn.norm(dim=1, keepdim=True) + TINY)
        scaled: Tensor = drawn * lengths
        return scaled.reshape(-1)


class PerLayer(Normalisation):
    """Scale each parameter to the norm of the network's: ``d <- d |w| / |d|``."""

    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        scaled: Tensor = direction * (weights.norm() / direction.norm())
        return scaled


class PerWeight(Normalisation):
    """Multiply each number by the network's: ``d <- d w``."""

    def __call__(self, direction: Tensor, weights: Tensor, entry: Entry) -> Tensor:
        return direction * weights


NORMALISATIONS: Variants[type[Normalisation]] = Variants(
    "normalisation", {"filter": PerFilter, "layer": PerLayer, "none": Unnormalised, "weight": PerWeight}
)


def normalise(
    direction: Tensor, weights: Tensor, space: WeightSpace, kind: Normalisation, without_vectors: bool
) -> Tensor:
    """Scale a direction (n,) to the weights (n,) of a network, parameter by parameter (Li et al. 2018, section 4).

    Args:
        direction: a random direction.
        weights: the weights of the network.
        space: the weight space of both.
        kind: the normalisation.
        without_vectors: set the direction to zero in parameters of one dimension (``biasbn`` in the authors' code).
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
