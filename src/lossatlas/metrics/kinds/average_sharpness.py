"""The mean rise of the loss under random steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lossatlas.metrics.sharpness import SharpnessMetric
from lossatlas.schema import PROBE_ERROR, Companion

__all__ = ["AverageSharpness"]


class AverageSharpness(SharpnessMetric):
    """The mean rise of the mean loss under Gaussian steps of a root mean squared length, with its standard error."""

    kind = "average_sharpness"
    companions = (PROBE_ERROR,)
    words = "mean rise of the loss under Gaussian steps of length"

    def companion(self, companion: Companion, found: Mapping[tuple[str, float], Any]) -> Tensor:
        error: Tensor = found[self.kind, self.radius].standard_error
        return error
