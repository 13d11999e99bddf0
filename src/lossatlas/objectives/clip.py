"""The interface of clips: how high a high cell has to be."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.registry import Registry

__all__ = ["CLIPS", "Clip", "checked_threshold"]

CLIPS: Registry[type[Clip]] = Registry("clip", "lossatlas.objectives.clips")


class Clip(ABC):
    """Bounds the losses of high cells from above: without, a very large loss everywhere would do.

    Args:
        threshold: a positive loss.
    """

    per_example: bool = False
    """Whether each example's own loss is needed."""

    @abstractmethod
    def __init__(self, threshold: float) -> None: ...

    @abstractmethod
    def mean(self, losses: Tensor, shares: Tensor) -> Tensor:
        """The clipped mean losses (k,) of k points.

        Args:
            losses: (k, B).
            shares: (B,), what each example counts in the mean; they sum to one.
        """


def checked_threshold(threshold: float) -> float:
    """The threshold, if it is a positive number.

    Raises:
        BadInput: it is not.
    """
    if not threshold > 0:
        raise BadInput(f"the threshold of high cells is {threshold}; expected a positive loss")
    return threshold
