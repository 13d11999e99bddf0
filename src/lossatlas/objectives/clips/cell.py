"""The clip of a cell's mean loss."""

from __future__ import annotations

from torch import Tensor

from lossatlas.objectives.clip import Clip, checked_threshold

__all__ = ["ClipPerCell"]


class ClipPerCell(Clip):
    """A cell whose batch mean has reached the threshold stops pushing, as in the multi-point paper's code."""

    def __init__(self, threshold: float = 2.5) -> None:
        self.threshold = checked_threshold(threshold)

    def mean(self, losses: Tensor, shares: Tensor) -> Tensor:
        return (losses @ shares).clamp(max=self.threshold)
