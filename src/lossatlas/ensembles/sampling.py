"""Standard errors of scores, and of differences of scores on the same examples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from lossatlas.ensembles.averaged import count_rows
from lossatlas.schema import Scoring
from lossatlas.streams import make_generator

__all__ = ["Measured", "Sampling", "Tallies", "Tally", "join_measured"]


@dataclass(frozen=True, eq=False)
class Measured:
    """A score's numbers for N rows, once or in each of H halvings, over which the score is averaged."""

    numbers: Tensor
    """(H, N), float64."""
    places: Tensor | None = None
    """The bin of each row (H, N), int64; None for a score that is a mean."""

    def take(self, rows: Tensor) -> Self:
        """The numbers of some rows."""
        return type(self)(self.numbers[:, rows], None if self.places is None else self.places[:, rows])

    def compact(self) -> Self:
        """The same with the halvings of a mean averaged."""
        return self if self.places is not None else type(self)(self.numbers.mean(dim=0, keepdim=True))


class Sampling:
    """Examples as a sample of those that there might have been, from which rows come together.

    Args:
        rows: the number N of rows.
        examples: the example of each row (N,), int64, ascending; None where rows are examples.
        bins: the number of bins of scores that have bins.
        bootstrap: the number of samples for standard errors that have no formula.
        seed: the seed of these samples.
    """

    def __init__(
        self, rows: int, examples: Tensor | None, bins: int, bootstrap: int = Scoring.BOOTSTRAP, seed: int = 0
    ) -> None:
        self.rows = rows
        self.bins, self.bootstrap, self.seed = bins, bootstrap, seed
        self.own = None if examples is None else torch.unique_consecutive(examples, return_inverse=True)[1]
        self.examples = rows if self.own is None else int(self.own[-1]) + 1
        self._drawn: dict[int, Tensor] = {}
        counts = torch.ones(rows, dtype=torch.int64) if self.own is None else self.own.bincount()
        self.sizes = counts.double()
        """The number of rows of each example (E,)."""
        self._starts = torch.cat([counts.new_zeros(1), counts.cumsum(dim=0)])

    def cut(self, width: int, rows: slice | None = None) -> Iterator[slice]:
        """Cut rows of a width into slices of bounded size, in order, between examples.

        Args:
            width: how many numbers a row has.
            rows: a slice that begins and ends between examples; all by default.
        """
        start, stop = (0, self.rows) if rows is None else (rows.start, rows.stop)
        most = count_rows(width)
        while start < stop:
            end = min(start + most, stop)
            if self.own is not None and end < stop:
                example = int(self.own[end])
                before = int(self._starts[example])
                end = before if before > start else int(self._starts[example + 1])
            yield slice(start, end)
            start = end

    def find_examples(self, rows: slice) -> slice:
        """The examples of some rows, which begin and end between examples."""
        return rows if self.own is None else slice(int(self.own[rows.start]), int(self.own[rows.stop - 1]) + 1)

    def add_up(self, numbers: Tensor, rows: slice) -> Tensor:
        """Sum numbers of some rows (n, ...) over the rows of each example, (e, ...)."""
        if self.own is None:
            return numbers
        examples = self.find_examples(rows)
        found = numbers.new_zeros(examples.stop - examples.start, *numbers.shape[1:])
        return found.index_add_(0, self.own[rows] - examples.start, numbers)

    def tally(self, measured: Measured, reference: Measured | None = None) -> Tally:
        """Take the numbers of all rows, of a score or of its difference from another one."""
        found = Tally(self)
        found.add(measured, slice(0, self.rows), reference)
        return found

    def value(self, measured: Measured) -> float:
        """The score."""
        return self.tally(measured).value

    def standard_error(self, measured: Measured, reference: Measured | None = None) -> float:
        """The standard error of the score, or of its difference from another one on the same rows."""
        return self.tally(measured, reference).standard_error

    def find_shares(self, measured: Measured, signs: Tensor | None = None) -> Tensor:
        """Numbers of rows (n,) whose mean is the score; those of bins have the signs of the sums in their bins.

        Args:
            measured: the numbers of some rows.
            signs: of each halving and bin (H, bins), of all rows; of these rows by default.
        """
        if measured.places is None:
            return measured.numbers.mean(dim=0)
        signs = self.tally(measured).sums[0].sign() if signs is None else signs
        return (measured.numbers * signs.gather(1, measured.places)).mean(dim=0)

    def draw(self, width: int) -> Tensor:
        """Standard normal numbers (bootstrap, width), the same for all scores of this width."""
        if width not in self._drawn:
            generator = make_generator(self.seed, "bootstrap")
            self._drawn[width] = torch.randn(self.bootstrap, width, generator=generator, dtype=torch.float64)
        return self._drawn[width]


class Tally:
    """A score, or its difference from another one, of rows that come block by block; what it keeps does not grow.

    Args:
        sampling: how rows come together.
    """

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._rows, self._total = 0, 0.0
        self._centre, self._squares, self._products, self._sizes = 0.0, 0.0, 0.0, 0.0
        self._halvings: list[int] = []
        self._sums = self._outer = torch.zeros(0)

    def add(self, measured: Measured, rows: slice, reference: Measured | None = None) -> None:
        """Add the numbers of rows that begin and end between examples."""
        if measured.places is None:
            self._add_means(measured, rows, reference)
        else:
            self._add_bins([measured] if reference is None else [measured, reference], rows)

    @property
    def sums(self) -> list[Tensor]:
        """Of the score, and of its reference, the sums in each bin of each halving (H, bins)."""
        bins = self.sampling.bins
        widths = [count * bins for count in self._halvings]
        return [each.view(-1, bins) for each in torch.split(self._sums[:-1], widths)]

    @property
    def value(self) -> float:
        """The score, or the difference."""
        if not self._halvings:
            return self._total / self._rows
        first, *others = (float(each.abs().sum()) / len(each) / float(self._sums[-1]) for each in self.sums)
        return first - sum(others)

    @property
    def standard_error(self) -> float:
        """The standard error.

        Of a mean by the formula of a ratio of sums over E examples (Cochran 1977, section 2.11), for examples drawn
        with replacement: ``sqrt(E / (E - 1) sum_e (sum of v - mean n_e)^2) / N``. Of bins by drawing.
        """
        if self._halvings:
            return self._bootstrap()
        examples = self.sampling.examples
        return math.sqrt(max(self._squares, 0.0) * examples / (examples - 1)) / self._rows

    def _add_means(self, measured: Measured, rows: slice, reference: Measured | None) -> None:
        numbers = measured.numbers.mean(dim=0)
        if reference is not None:
            numbers = numbers - reference.numbers.mean(dim=0)
        sizes = self.sampling.sizes[self.sampling.find_examples(rows)]
        sums = self.sampling.add_up(numbers, rows)
        centre = float(sums.sum()) / len(numbers)
        residuals = sums - centre * sizes
        own = float(residuals.square().sum()), float(residuals @ sizes), float(sizes @ sizes)
        # Around one centre for both: sums of squares lose digits where the mean is far from zero.
        self._total += float(sums.sum())
        self._rows += len(numbers)
        together = self._total / self._rows
        before = self._squares, self._products, self._sizes
        moved = [_move(*each) for each in ((before, self._centre - together), (own, centre - together))]
        self._squares, self._products, self._sizes = (one + other for one, other in zip(*moved, strict=True))
        self._centre = together

    def _add_bins(self, parts: Sequence[Measured], rows: slice) -> None:
        """Add the sums of examples in each bin of each halving of each part, and their products.

        The number of rows of an example is the last of its q sums.
        """
        numbers = torch.cat([part.numbers for part in parts])
        places = torch.cat([part.places for part in parts if part.places is not None])
        places = places + self.sampling.bins * torch.arange(len(places))[:, None]
        width = len(places) * self.sampling.bins + 1
        if not self._halvings:
            self._halvings = [len(part.numbers) for part in parts]
            self._sums, self._outer = numbers.new_zeros(width), numbers.new_zeros(width, width)
        for block in self.sampling.cut(width, rows):
            own = slice(block.start - rows.start, block.stop - rows.start)
            sums = numbers.new_zeros(block.stop - block.start, width)
            sums.scatter_(1, places[:, own].T, numbers[:, own].T)[:, -1] = 1
            sums = self.sampling.add_up(sums, block)
            self._sums += sums.sum(dim=0)
            self._outer += sums.T @ sums

    def _bootstrap(self) -> float:
        """Draw samples of examples, and take the standard deviation of the score over them.

        A sample enters by its sums in bins alone, which are drawn from the normal distribution of the mean and the
        covariance that drawing E examples with replacement gives them. That is the limit for many examples, and costs
        the same for any number of them.
        """
        total, bins = self._sums, self.sampling.bins
        covariance = self._outer - torch.outer(total, total) / self.sampling.examples
        if not bool(covariance.isfinite().all()):
            return float("nan")
        values, vectors = torch.linalg.eigh(covariance)
        # The symmetric root, which rounding does not turn into another one.
        root = vectors * values.clamp(min=0).sqrt() @ vectors.T
        drawn = total + self.sampling.draw(len(total)) @ root
        *drawn_sums, sizes = drawn.split([*[count * bins for count in self._halvings], 1], dim=1)
        rows = float(total[-1])
        # In the number of rows to first order, which a sample of few long examples could make zero.
        scores = [
            (each.abs().sum(dim=1) - own.abs().sum() / rows * (sizes[:, 0] - rows)) / len(own) / rows
            for each, own in zip(drawn_sums, self.sums, strict=True)
        ]
        return float((scores[0] if len(scores) == 1 else scores[0] - scores[1]).std())


class Tallies(dict[str, Tally]):
    """Tallies of several scores by name."""

    def __init__(self, sampling: Sampling, names: Iterable[str]) -> None:
        super().__init__({name: Tally(sampling) for name in names})

    def add(
        self, measured: Mapping[str, Measured], rows: slice, reference: Mapping[str, Measured] | None = None
    ) -> None:
        """Add the numbers of rows that begin and end between examples, or their differences from a reference."""
        for name, own in self.items():
            own.add(measured[name], rows, None if reference is None else reference[name])


def _move(moments: tuple[float, float, float], by: float) -> tuple[float, float, float]:
    """Move the centre of sums of squared residuals, of residuals times sizes and of squared sizes."""
    squares, products, sizes = moments
    return squares + 2 * by * products + by * by * sizes, products + by * sizes, sizes


def join_measured(measured: Sequence[Measured], dim: int) -> Measured:
    """Put numbers of several halvings (``dim`` 0) or of several rows (``dim`` 1) together."""
    places = [each.places for each in measured if each.places is not None]
    return Measured(
        torch.cat([each.numbers for each in measured], dim=dim), torch.cat(places, dim=dim) if places else None
    )
