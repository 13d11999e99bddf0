"""Clips: upper bounds on the losses of high cells."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.registry import Variants

__all__ = ["CLIPS", "Clip", "ClipLogarithm", "ClipPerCell", "ClipPerExample"]

LEAST = 1 / 250
"""What is added to losses before a logarithm, in thresholds: 0.01 of 2.5, the loss of a network that is 99 % sure. With
much less, single examples that are surely right would outweigh all others."""


class Clip(ABC):
    """An upper bound on the losses of high cells, without which a fit could diverge to arbitrarily large ones.

    Args:
        threshold: the bound, a positive loss.

    Raises:
        BadInput: the threshold is not positive.
    """

    per_example: bool = False
    """Whether the losses of single examples are needed."""

    def __init__(self, threshold: float = 2.5) -> None:
        if not threshold > 0:
            raise BadInput(f"the threshold of high cells is {threshold}; expected a positive loss")
        self.threshold = threshold

    @abstractmethod
    def mean(self, losses: Tensor, shares: Tensor) -> Tensor:
        """The means (k,) of k points that are to be large: of the clipped losses, or of a function of them.

        Args:
            losses: (k, B).
            shares: (B,), the weight of each example in the mean; they sum to one.
        """


class ClipPerCell(Clip):
    """A cell whose batch mean reaches the threshold has zero gradient, as in the code of Skorokhodov & Burtsev 2019."""

    def mean(self, losses: Tensor, shares: Tensor) -> Tensor:
        return (losses @ shares).clamp(max=self.threshold)


class ClipPerExample(Clip):
    """An example whose loss reaches the threshold has zero gradient, the others not. Fits faster than per cell."""

    per_example = True

    def mean(self, losses: Tensor, shares: Tensor) -> Tensor:
        return losses.clamp(max=self.threshold) @ shares


class ClipLogarithm(Clip):
    """The logarithm of an example's loss grows until the loss reaches the threshold.

    The mean over examples of ``log(min(loss, threshold) + threshold / 250)``. The gradient of the loss itself vanishes
    where a network is sure of the right label, so that high cells between low ones, such as the gaps between the teeth
    of a skull, would stay low for good; that of its logarithm does not. Below zero, where some losses of one's own go,
    the logarithm is continued by its tangent, so that every loss may rise.
    """

    per_example = True

    def mean(self, losses: Tensor, shares: Tensor) -> Tensor:
        bounded, least = losses.clamp(max=self.threshold), LEAST * self.threshold
        logarithms = (bounded.clamp(min=0.0) + least).log()
        return torch.where(bounded < 0, bounded / least + math.log(least), logarithms) @ shares


CLIPS: Variants[type[Clip]] = Variants("clip", {"cell": ClipPerCell, "example": ClipPerExample, "log": ClipLogarithm})
