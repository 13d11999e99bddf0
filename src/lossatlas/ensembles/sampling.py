"""Standard errors of scores, and of differences of scores on the same examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from lossatlas.ensembles.averaged import list_blocks
from lossatlas.streams import make_generator

__all__ = ["Measured", "Sampling", "join_measured"]


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

    def __init__(self, rows: int, examples: Tensor | None, bins: int, bootstrap: int = 1000, seed: int = 0) -> None:
        self.rows = rows
        self.bins, self.bootstrap, self.seed = bins, bootstrap, seed
        self.own = None if examples is None else torch.unique(examples, return_inverse=True)[1]
        self.examples = rows if self.own is None else int(self.own.max()) + 1
        self._drawn: dict[int, Tensor] = {}
        self.sizes = self.add_up(torch.ones(rows, dtype=torch.float64))

    def add_up(self, numbers: Tensor) -> Tensor:
        """Sum numbers of rows (N, ...) over the rows of each example, (E, ...)."""
        if self.own is None:
            return numbers
        return numbers.new_zeros(self.examples, *numbers.shape[1:]).index_add_(0, self.own, numbers)

    def value(self, measured: Measured) -> float:
        """The score."""
        if measured.places is None:
            return float(measured.numbers.mean())
        return float(self._sum_bins(measured).abs().sum() / self.rows / len(measured.numbers))

    def standard_error(self, measured: Measured, reference: Measured | None = None) -> float:
        """The standard error of the score, or of its difference from another one on the same rows.

        Of a mean by the formula of a ratio of sums over E examples (Cochran 1977, section 2.11), for examples drawn
        with replacement: ``sqrt(E / (E - 1) sum_e (sum of v - mean n_e)^2) / N``.
        """
        if measured.places is not None:
            return self._bootstrap(measured, reference)
        numbers = measured.numbers.mean(dim=0)
        if reference is not None:
            numbers = numbers - reference.numbers.mean(dim=0)
        residuals = self.add_up(numbers) - numbers.mean() * self.sizes
        return float((residuals.square().sum() * self.examples / (self.examples - 1)).sqrt() / self.rows)

    def find_shares(self, measured: Measured) -> Tensor:
        """Numbers of rows (N,) whose mean is the score; those of bins have the signs of the sums in their bins."""
        if measured.places is None:
            return measured.numbers.mean(dim=0)
        signs = self._sum_bins(measured).sign()
        return (measured.numbers * signs.gather(1, measured.places)).mean(dim=0)

    def _sum_bins(self, measured: Measured) -> Tensor:
        """The sums of each halving and bin, (H, bins)."""
        assert measured.places is not None
        sums = measured.numbers.new_zeros(len(measured.numbers), self.bins)
        return sums.scatter_add_(1, measured.places, measured.numbers)

    def _bootstrap(self, measured: Measured, reference: Measured | None) -> float:
        """Draw samples of examples, and take the standard deviation of the score over them.

        A sample enters by its sums in bins alone, which are drawn from the normal distribution of the mean and the
        covariance that drawing E examples with replacement gives them. That is the limit for many examples, and costs
        the same for any number of them.
        """
        parts = [measured] if reference is None else [measured, reference]
        total, products = self._add_products(parts)
        covariance = products - torch.outer(total, total) / self.examples
        if not bool(covariance.isfinite().all()):
            return float("nan")
        values, vectors = torch.linalg.eigh(covariance)
        # The symmetric root, which rounding does not turn into another one.
        root = vectors * values.clamp(min=0).sqrt() @ vectors.T
        drawn = total + self._draw(len(total)) @ root
        *drawn_sums, sizes = drawn.split([*[len(part.numbers) * self.bins for part in parts], 1], dim=1)
        # In the number of rows to first order, which a sample of few long examples could make zero.
        scores = [
            (each.abs().sum(dim=1) / len(part.numbers) - self.value(part) * (sizes[:, 0] - self.rows)) / self.rows
            for each, part in zip(drawn_sums, parts, strict=True)
        ]
        return float((scores[0] if reference is None else scores[0] - scores[1]).std())

    def _draw(self, width: int) -> Tensor:
        """Standard normal numbers (bootstrap, width), the same for all scores of this width."""
        if width not in self._drawn:
            generator = make_generator(self.seed, "bootstrap")
            self._drawn[width] = torch.randn(self.bootstrap, width, generator=generator, dtype=torch.float64)
        return self._drawn[width]

    def _add_products(self, parts: Sequence[Measured]) -> tuple[Tensor, Tensor]:
        """The sum over examples of their sums in each bin of each halving of each part, and that of their products.

        Returns:
            (q,) and (q, q), with the number of rows as the last of q sums.
        """
        numbers = torch.cat([part.numbers for part in parts])
        places = torch.cat([part.places for part in parts if part.places is not None])
        places = places + self.bins * torch.arange(len(places))[:, None]
        width = len(places) * self.bins + 1
        total, products = numbers.new_zeros(width), numbers.new_zeros(width, width)
        for examples in list_blocks(self.examples, width):
            rows = self._find_rows(examples)
            sums = numbers.new_zeros(rows.stop - rows.start, width)
            sums.scatter_(1, places[:, rows].T, numbers[:, rows].T)[:, -1] = 1
            if self.own is not None:
                own = self.own[rows] - examples.start
                sums = numbers.new_zeros(examples.stop - examples.start, width).index_add_(0, own, sums)
            total += sums.sum(dim=0)
            products += sums.T @ sums
        return total, products

    def _find_rows(self, examples: slice) -> slice:
        """The rows of some examples, which follow one another."""
        if self.own is None:
            return examples
        first, last = torch.searchsorted(self.own, torch.tensor([examples.start, examples.stop])).tolist()
        return slice(first, last)


def join_measured(measured: Sequence[Measured], dim: int) -> Measured:
    """Put numbers of several halvings (``dim`` 0) or of several rows (``dim`` 1) together."""
    places = [each.places for each in measured if each.places is not None]
    return Measured(
        torch.cat([each.numbers for each in measured], dim=dim), torch.cat(places, dim=dim) if places else None
    )
