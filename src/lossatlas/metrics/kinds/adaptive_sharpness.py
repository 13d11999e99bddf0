"""The rise of the loss by one ascent step relative to the weights."""

from __future__ import annotations

from lossatlas.metrics.sharpness import SharpnessMetric

__all__ = ["AdaptiveSharpness"]


class AdaptiveSharpness(SharpnessMetric):
    """The rise of the mean loss one step away that is relative to the weights, as in ASAM (Kwon et al. 2021).

    Rescaling the layers around a ReLU against each other does not change it.
    """

    kind = "adaptive_sharpness"
    words = "rise of the loss after an adaptive ascent step of size"
