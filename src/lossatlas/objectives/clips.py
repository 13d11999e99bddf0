"""Clips: how high a high cell has to be."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.registry import Variants

__all__ = ["CLIPS", "Clip", "ClipPerCell", "ClipPerExample"]


class Clip(ABC):
    """Bounds the losses of high cells from above: without, a very large loss everywhere would do.

    Args:
        threshold: a positive loss.

    Raises:
        BadInput: the threshold is not positive.
    """

    per_example: bool = False
    """Whether each example's own loss is needed."""

    def __init__(self, threshold: float = 2.5) -> None:
        if not threshold > 0:
            raise BadInput(f"the threshold of high cells is {threshold}; expected a positive loss")
        self.threshold = threshold

    @abstractmethod
    def mean(self, losses: Tensor, shares: Tensor) -> Tensor:
        """The clipped mean losses (k,) of k points.

        Args:
            losses: (k, B).
            shares: (B,), what each example counts in the mean; they sum to one.
        """


class ClipPerCell(Clip):
    """A cell whose batch mean has reached the threshold stops pushing, as in the multi-point paper's code."""

    def mean(self, losses: Tensor, shares: Tensor) -> Tensor:
        return (losses @ shares).clamp(max=self.threshold)


class ClipPerExample(Clip):
    """Examples whose loss has reached the threshold stop pushing; the others go on. Fits faster than per cell."""

    per_example = True

    def mean(self, losses: Tensor, shares: Tensor) -> Tensor:
        return losses.clamp(max=self.threshold) @ shares


CLIPS: Variants[type[Clip]] = Variants("clip", {"cell": ClipPerCell, "example": ClipPerExample})
