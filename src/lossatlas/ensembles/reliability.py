"""How often predictions are right, against how certain they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lossatlas.ensembles.averaged import AveragedClasses
from lossatlas.ensembles.sampling import Sampling
from lossatlas.metrics import find_bins

__all__ = ["Reliability"]

STAGES = 3


class Reliability:
    """Confidence and accuracy in bins of confidence, at each stage of :attr:`lossatlas.schema.InEnsemble.STAGES`.

    Args:
        sampling: how rows come together, and the number of bins.
    """

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._sums = torch.zeros(STAGES, 3, sampling.bins, dtype=torch.float64)
        self._products = torch.zeros(STAGES, 3, sampling.bins, dtype=torch.float64)

    def add(self, stage: int, several: Sequence[AveragedClasses], rows: slice) -> None:
        """Add rows that begin and end between examples to a stage.

        Args:
            stage: the number of the stage.
            several: the average for the rows, or one for each halving.
            rows: the rows.
        """
        bins = self.sampling.bins
        for block in self.sampling.cut(2 * bins, rows):
            own = slice(block.start - rows.start, block.stop - rows.start)
            length = own.stop - own.start
            counts, right = torch.zeros(2, length, bins, dtype=torch.float64)
            for averaged in several:
                part = averaged.take(own)
                places = find_bins(part.confidence, bins)
                self._sums[stage, 0].index_add_(0, places, part.confidence)
                counts.scatter_add_(1, places[:, None], torch.ones(length, 1, dtype=torch.float64))
                right.scatter_add_(1, places[:, None], part.right.double()[:, None])
            counts, right = self.sampling.add_up(counts, block), self.sampling.add_up(right, block)
            self._sums[stage, 1:] += torch.stack([right.sum(dim=0), counts.sum(dim=0)])
            products = [(one * other).sum(dim=0) for one, other in ((right, right), (right, counts), (counts, counts))]
            self._products[stage] += torch.stack(products)

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
    def accuracy_error(self) -> Tensor:
        """The standard error over examples of the share of right predictions in each bin (stages, bins).

        By the formula of a ratio of sums over examples, see :class:`lossatlas.ensembles.sampling.Tally`; of examples of
        one row each it is the binomial one.
        """
        accuracy, number = self.accuracy, self._sums[: self.stages, 2]
        right, mixed, counts = self._products[: self.stages].unbind(dim=1)
        squares = (right - 2 * accuracy * mixed + accuracy.square() * counts).clamp(min=0)
        examples = self.sampling.examples
        return (squares * examples / (examples - 1)).sqrt() / number

    @property
    def share(self) -> Tensor:
        """The share of all rows in each bin (stages, bins)."""
        return (self._sums[:, 2] / self._sums[:, 2].sum(dim=1, keepdim=True))[: self.stages]
