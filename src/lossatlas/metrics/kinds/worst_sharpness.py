"""The largest rise of the loss by several ascent steps."""

from __future__ import annotations

from lossatlas.curvatures import ASCENT_STEPS
from lossatlas.metrics.sharpness import SharpnessMetric

__all__ = ["WorstSharpness"]


class WorstSharpness(SharpnessMetric):
    """The largest rise of the mean loss that an ascent of several steps finds in a ball; never below one step."""

    kind = "worst_sharpness"
    words = f"largest rise of the loss in {ASCENT_STEPS} ascent steps within"
