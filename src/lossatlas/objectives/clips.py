"""Clips: upper bounds on the losses of high cells."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.registry import Variants

__all__ = ["CLIPS", "Clip", "ClipPerCell", "ClipPerExample"]


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
        """The clipped mean losses (k,) of k points.

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


CLIPS: Variants[type[Clip]] = Variants("clip", {"cell": ClipPerCell, "example": ClipPerExample})
