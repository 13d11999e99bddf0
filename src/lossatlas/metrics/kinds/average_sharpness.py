"""The mean rise of the loss under random steps."""

from __future__ import annotations

from torch import Tensor

from lossatlas.curvatures import AverageRise
from lossatlas.metrics.sharpness import FoundRises, SharpnessMetric
from lossatlas.schema import PROBE_ERROR, Companion

__all__ = ["AverageSharpness"]


class AverageSharpness(SharpnessMetric):
    """The mean rise of the mean loss under Gaussian steps of a root mean squared length, with its standard error."""

    kind = "average_sharpness"
    companions = (PROBE_ERROR,)
    words = "mean rise of the loss under Gaussian steps of length"

    def companion(self, companion: Companion, found: FoundRises) -> Tensor:
        rise = found.rises[self.kind, self.radius]
        assert isinstance(rise, AverageRise)
        return rise.standard_error
