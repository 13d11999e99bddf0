"""The rise of the loss by one ascent step."""

from __future__ import annotations

from lossatlas.metrics.sharpness import SharpnessMetric

__all__ = ["SamSharpness"]


class SamSharpness(SharpnessMetric):
    """The rise of the mean loss one step along the gradient away, as in SAM (Foret et al. 2021)."""

    kind = "sam_sharpness"
    words = "rise of the loss after an ascent step of length"
