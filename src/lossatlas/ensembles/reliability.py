"""How often predictions are right, against how certain they are."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.ensembles.averaged import AveragedClasses, list_blocks
from lossatlas.metrics import find_bins

__all__ = ["Reliability"]

STAGES = 3


class Reliability:
    """Confidence and accuracy in bins of confidence, at each stage of :attr:`lossatlas.schema.InEnsemble.STAGES`.

    Args:
        bins: the number of bins.
    """

    def __init__(self, bins: int) -> None:
        self.bins = bins
        self._sums = torch.zeros(STAGES, 3, bins, dtype=torch.float64)

    def add(self, stage: int, averaged: AveragedClasses, temperatures: Tensor | None = None) -> None:
        """Add the rows of an average to a stage, with the temperature of each row (N,)."""
        for rows in list_blocks(len(averaged), averaged.width):
            part = averaged.take(rows)
            part = part if temperatures is None else part.temper(temperatures[rows])
            numbers = torch.stack([part.confidence, part.right.double(), torch.ones_like(part.confidence)])
            places = find_bins(part.confidence, self.bins)
            self._sums[stage].index_add_(1, places, numbers)

    @property
    def stages(self) -> int:
        """The number of stages that have rows, counted from the first one."""
        return int((self._sums[:, 2].sum(dim=1) > 0).sum())

    @property
    def confidence(self) -> Tensor:
        """The mean confidence in each bin (stages, bins); NaN where it is empty."""
        return (self._sums[:, 0] / self._sums[:, 2])[: self.stages]

    @property
    def accuracy(self) -> Tensor:
        """The share of right predictions in each bin (stages, bins); NaN where it is empty."""
        return (self._sums[:, 1] / self._sums[:, 2])[: self.stages]

    @property
    def share(self) -> Tensor:
        """The share of all rows in each bin (stages, bins)."""
        return (self._sums[:, 2] / self._sums[:, 2].sum(dim=1, keepdim=True))[: self.stages]
