"""The clip of each example's loss."""

from __future__ import annotations

from torch import Tensor

from lossatlas.objectives.clip import Clip, checked_threshold

__all__ = ["ClipPerExample"]


class ClipPerExample(Clip):
    """Examples whose loss has reached the threshold stop pushing; the others go on. Fits faster than per cell."""

    per_example = True

    def __init__(self, threshold: float = 2.5) -> None:
        self.threshold = checked_threshold(threshold)

    def mean(self, losses: Tensor, shares: Tensor) -> Tensor:
        return losses.clamp(max=self.threshold) @ shares
