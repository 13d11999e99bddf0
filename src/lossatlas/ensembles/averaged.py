"""Averages of predictions, growing by one member at a time, and with a temperature."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from lossatlas.ensembles.predictions import CLASSES, Predictions

__all__ = [
    "Averaged",
    "AveragedClasses",
    "AveragedValues",
    "Running",
    "RunningClasses",
    "RunningValues",
    "count_rows",
    "list_blocks",
    "start_average",
]

BLOCK = 2**20
"""How many numbers are worked on at once, about: temporary arrays of averages of any size stay below 100 MB."""


def count_rows(width: int) -> int:
    """How many rows of a width are worked on at once."""
    return max(1, BLOCK // max(width, 1))


def list_blocks(rows: int, width: int) -> Iterator[slice]:
    """Cut N rows of a width into slices of bounded size, in order."""
    most = count_rows(width)
    return (slice(start, min(start + most, rows)) for start in range(0, rows, most))


class Averaged(ABC):
    """The average of some members' predictions for N rows, as a distribution."""

    @abstractmethod
    def __len__(self) -> int:
        """The number N of rows."""

    @property
    @abstractmethod
    def width(self) -> int:
        """The number of classes or of outputs."""

    @abstractmethod
    def take(self, rows: slice | Tensor) -> Self:
        """The average for some rows."""

    @abstractmethod
    def temper(self, temperatures: Tensor) -> Self:
        """The average with a temperature for each row (N,): 1 leaves it as it is, more makes it less certain."""


@dataclass(frozen=True, eq=False)
class AveragedClasses(Averaged):
    """Averaged probabilities of classes.

    Classes come first, so that what is done to few classes runs along many rows.
    """

    log_probabilities: Tensor
    """Logarithms of probabilities (C, N), float64."""
    labels: Tensor
    """(N,), int64."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def width(self) -> int:
        return len(self.log_probabilities)

    def take(self, rows: slice | Tensor) -> Self:
        return type(self)(self.log_probabilities[:, rows], self.labels[rows])

    def temper(self, temperatures: Tensor) -> Self:
        """Divide the logarithms by temperatures (N,), and normalise again."""
        return type(self)((self.log_probabilities / temperatures).log_softmax(dim=0), self.labels)

    @cached_property
    def probabilities(self) -> Tensor:
        """(C, N)."""
        return self.log_probabilities.exp()

    @cached_property
    def of_label(self) -> Tensor:
        """The logarithms of the probabilities of the labels (N,)."""
        return self.log_probabilities.gather(0, self.labels[None])[0]

    @cached_property
    def confidence(self) -> Tensor:
        """The largest probability (N,)."""
        return self.log_probabilities.amax(dim=0).exp().clamp(max=1)

    @cached_property
    def right(self) -> Tensor:
        """Whether the most probable class is the label (N,), bool; of equal ones the first."""
        return self.log_probabilities.T.contiguous().argmax(dim=1) == self.labels


@dataclass(frozen=True, eq=False)
class AveragedValues(Averaged):
    """The mean of several networks' outputs, and their spread: a normal distribution of each output."""

    mean: Tensor
    """(N, D), float64."""
    variance: Tensor
    """(N, D), float64, over the members as a population; NaN for one member."""
    targets: Tensor
    """(N, D), float64."""

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def width(self) -> int:
        return self.mean.shape[1]

    def take(self, rows: slice | Tensor) -> Self:
        return type(self)(self.mean[rows], self.variance[rows], self.targets[rows])

    def temper(self, temperatures: Tensor) -> Self:
        """Multiply standard deviations by temperatures (N,)."""
        return type(self)(self.mean, self.variance * temperatures.square()[:, None], self.targets)


class Running(ABC):
    """An average that members are added to."""

    @abstractmethod
    def add(self, prediction: Tensor) -> None:
        """Add the prediction (N, C or D) of a member."""

    @abstractmethod
    def average(self) -> Averaged:
        """The average of what was added; it is not changed by adding more."""


class RunningClasses(Running):
    """Adds probabilities by their logarithms, in float64: those that underflow count, too."""

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels
        self.count = 0
        self._sum: Tensor | None = None

    def add(self, prediction: Tensor) -> None:
        own = prediction.T.to(torch.float64, memory_format=torch.contiguous_format, copy=True).contiguous()
        self._sum = own if self._sum is None else torch.logaddexp(self._sum, own)
        self.count += 1

    def average(self) -> AveragedClasses:
        assert self._sum is not None
        return AveragedClasses(self._sum - torch.tensor(self.count, dtype=torch.float64).log(), self.labels)


class RunningValues(Running):
    """Adds outputs to a mean and a variance in float64 (Welford 1962), which is never negative."""

    def __init__(self, targets: Tensor) -> None:
        self.targets = targets.double()
        self.count = 0
        self._mean = torch.zeros_like(self.targets)
        self._squares = torch.zeros_like(self.targets)

    def add(self, prediction: Tensor) -> None:
        self.count += 1
        deviation = prediction.double() - self._mean
        self._mean = self._mean + deviation / self.count
        self._squares = self._squares + deviation.square() * ((self.count - 1) / self.count)

    def average(self) -> AveragedValues:
        variance = self._squares / self.count if self.count > 1 else torch.full_like(self._squares, torch.nan)
        return AveragedValues(self._mean, variance, self.targets)


def start_average(predictions: Predictions, rows: slice | Tensor | None = None) -> Running:
    """Make an average without members yet.

    Args:
        predictions: which kind it is of, and what is predicted.
        rows: the rows that it is of; all by default. The predictions that are added must be of the same.
    """
    targets = predictions.targets if rows is None else predictions.targets[rows]
    return RunningClasses(targets) if predictions.kind == CLASSES else RunningValues(targets)
