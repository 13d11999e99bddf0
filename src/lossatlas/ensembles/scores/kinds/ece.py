"""The expected calibration error."""

from __future__ import annotations

from torch import Tensor

from lossatlas.ensembles.averaged import AveragedClasses
from lossatlas.ensembles.predictions import CLASSES
from lossatlas.ensembles.scores.score import Score
from lossatlas.metrics import find_bins
from lossatlas.schema import Quantity

__all__ = ["CalibrationError"]


class CalibrationError(Score):
    """How far confidence and accuracy are apart, within bins of equal confidence (Guo et al. 2017, equation 3)."""

    kind = CLASSES
    order = 40
    binned = True

    def quantity(self) -> Quantity:
        return Quantity("ece", f"expected calibration error ({self.bins} bins)", "1", record=f"{self.bins} bins")

    def rate(self, averaged: AveragedClasses) -> Tensor:
        return averaged.right.double() - averaged.confidence

    def place(self, averaged: AveragedClasses) -> Tensor:
        return find_bins(averaged.confidence, self.bins)
