"""Temperatures: the one number that makes averaged predictions more or less certain, fitted on some examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from lossatlas.ensembles.averaged import Averaged, AveragedClasses, AveragedValues, list_blocks

__all__ = ["HIGHEST", "LOWEST", "Temperatures", "Walk", "fit_several", "fit_temperature", "fit_temperatures"]

Walk: TypeAlias = Callable[[Sequence[int]], Iterator[tuple[int, Averaged, Tensor]]]
"""Goes through some of several averages, block of rows by block, with the groups of the rows."""

LOWEST, HIGHEST = 0.05, 20.0
"""The bounds of temperatures."""
TOLERANCE = 1e-4
"""The relative length of a step of Newton's that ends a search; the error after it is of the order of its square."""
QUICK, MOST = 6, 200
"""After how many of Newton's steps every other one halves the bracket; how many there are at most."""


class Temperatures(NamedTuple):
    """Fitted temperatures of G groups of rows, of one average or of several, (S, G)."""

    values: Tensor
    """(G,), float64; NaN where the likelihood is infinite or undefined at all temperatures."""
    at_bound: Tensor
    """Whether the best temperature lies at a bound or beyond, (G,), bool."""


def fit_temperature(log_probabilities: Tensor, labels: Tensor) -> tuple[float, bool]:
    """Fit the temperature T in [0.05, 20] at which ``softmax(log p / T)`` has the lowest negative log likelihood.

    The log likelihood is concave in 1/T: there is one best temperature, found by Newton's method in float64. Where all
    are equally good, 1.

    Args:
        log_probabilities: (N, C), of one network or of an average, or logits.
        labels: (N,), int64.

    Returns:
        The temperature, and whether it is at a bound; NaN where a label has probability 0, which no temperature mends.

    >>> logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 0.0]])
    >>> temperature, at_bound = fit_temperature(logits, torch.tensor([0, 0, 0, 1]))  # which is right in 3 of 4 cases
    >>> round(temperature, 6), at_bound
    (1.820478, False)
    """
    averaged = AveragedClasses(log_probabilities.T.double().contiguous(), labels)
    found = fit_temperatures(averaged, torch.zeros(1, len(labels), dtype=torch.int64), 1)
    return float(found.values), bool(found.at_bound)


def fit_temperatures(averaged: Averaged, groups: Tensor, count: int, start: Tensor | None = None) -> Temperatures:
    """Fit temperatures of groups of rows, which may overlap.

    Args:
        averaged: the average of N rows.
        groups: the group of each row in each of H divisions of the rows, (H, N), int64, in [0, G).
        count: the number G of groups.
        start: temperatures (G,) to begin with, such as those of an average of fewer members.
    """

    def walk(_: Sequence[int]) -> Iterator[tuple[int, Averaged, Tensor]]:
        for rows in list_blocks(len(averaged), averaged.width):
            yield 0, averaged.take(rows), groups[:, rows]

    found = fit_several(walk, 1, count, classes=isinstance(averaged, AveragedClasses), start=start)
    return Temperatures(found.values[0], found.at_bound[0])


def fit_several(
    walk: Walk, averages: int, count: int, *, classes: bool, by_turns: bool = False, start: Tensor | None = None
) -> Temperatures:
    """Fit temperatures of groups of rows of several averages, (S, G).

    Of averaged values the temperature is the factor on the spread with the highest likelihood, within the same bounds:
    the root of the mean squared error in units of the spread.

    Args:
        walk: goes through some of the averages, block of rows by block: yields which one it is, the average for the
            rows (n), and their groups (H, n).
        averages: the number S of averages.
        count: the number G of groups of each.
        classes: whether they are averages of probabilities.
        by_turns: whether one is fitted after the other, each from the temperatures of that before; otherwise all
            together, with fewer walks.
        start: temperatures (G,) to begin with.
    """
    if not classes:
        return _fit_spreads(walk, averages, count)
    ones = torch.ones(count, dtype=torch.float64)
    first = ones if start is None else (1 / start).nan_to_num(nan=1.0)
    found = []
    for part in [[k] for k in range(averages)] if by_turns else [list(range(averages))]:
        lost = torch.zeros(len(part), count, dtype=torch.bool)

        def differentiate(inverse: Tensor, wanted: Tensor, part=part, lost=lost) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
            return _differentiate(walk, part, inverse, wanted, lost)

        inverse, at_bound = _find_zeros(differentiate, first.expand(len(part), -1))
        found.append(Temperatures((1 / inverse).where(~lost, torch.nan), at_bound & ~lost))
        first = inverse[-1].where(~lost[-1], 1.0)
    return Temperatures(torch.cat([each.values for each in found]), torch.cat([each.at_bound for each in found]))


def _differentiate(
    walk: Walk, part: Sequence[int], inverse: Tensor, wanted: Tensor, lost: Tensor
) -> tuple[Tensor, Tensor]:
    """The first and the second derivative (s, G) of summed negative log likelihoods in the inverse temperature.

    With ``d_c = log p_c - log p_label`` they are the mean of d and its variance, under ``softmax(d / T)``.

    Args:
        walk: goes through averages.
        part: which ones, (s,).
        inverse: inverse temperatures (s, G).
        wanted: of which averages they are wanted (s,); 0 for others.
        lost: is set where a label has probability 0, (s, G).
    """
    slopes, curvatures = torch.zeros(2, *inverse.shape, dtype=torch.float64)
    place = {average: k for k, average in enumerate(part) if bool(wanted[k])}
    for average, averaged, groups in walk(list(place)):
        assert isinstance(averaged, AveragedClasses)
        k = place[average]
        own = inverse[k]
        if bool((impossible := averaged.of_label.isinf()).any()):
            lost[k] |= (
                groups.new_zeros(len(own)).index_add_(0, groups.flatten(), impossible.long().repeat(len(groups))) > 0
            )
        # Classes of probability 0 stay so at every temperature.
        above = (averaged.log_probabilities - averaged.of_label).nan_to_num(nan=0.0, neginf=-1e30, posinf=1e30)
        shared = bool((own == own[0]).all())
        for division in groups[:1] if shared else groups:
            weights = (above * own[division]).softmax(dim=0)
            weighted = weights * above
            mean = weighted.sum(dim=0)
            variance = (weighted * above).sum(dim=0) - mean.square()
            for each in groups if shared else [division]:
                slopes[k].index_add_(0, each, mean)
                curvatures[k].index_add_(0, each, variance)
    return slopes, curvatures


def _find_zeros(
    differentiate: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], start: Tensor
) -> tuple[Tensor, Tensor]:
    """Find the inverse temperatures at which increasing functions are zero: Newton's method within brackets.

    Args:
        differentiate: computes the values and the slopes (s, G) of the functions at positions (s, G); of those rows
            only that a mask (s,) names.
        start: the first positions (s, G).

    Returns:
        The positions (s, G), and whether a function has no zero between the bounds. A function that is zero
        everywhere has its zero at 1.
    """
    low, high = torch.full_like(start, 1 / HIGHEST), torch.full_like(start, 1 / LOWEST)
    all_of_them = torch.ones(len(start), dtype=torch.bool)
    at_low, at_high = differentiate(low, all_of_them)[0], differentiate(high, all_of_them)[0]
    flat = (at_low == 0) & (at_high == 0)
    below, beyond = (at_low >= 0) & ~flat, (at_high <= 0) & ~flat
    at = start.clamp(low, high)
    at = torch.where(below, low, torch.where(beyond, high, torch.where(flat, 1.0, at)))
    done = flat | below | beyond
    for step in range(MOST):
        if bool(done.all()):
            break
        value, slope = differentiate(at, ~done.all(dim=1))
        low, high = torch.where(value < 0, at, low), torch.where(value > 0, at, high)
        newton = torch.where(value == 0, at, at - value / slope)
        inside = (newton >= low) & (newton <= high)
        late = step >= QUICK and step % 2 == 0
        narrow = high <= low * (1 + TOLERANCE**2)
        close = narrow | (inside & ((newton - at).abs() <= TOLERANCE * at))
        found = torch.where(inside & close if late else inside, newton, (low * high).sqrt())
        at, done = torch.where(done, at, found), done | close
    return at, below | beyond


def _fit_spreads(walk: Walk, averages: int, count: int) -> Temperatures:
    sums, sizes = torch.zeros(2, averages, count, dtype=torch.float64)
    for average, averaged, groups in walk(range(averages)):
        assert isinstance(averaged, AveragedValues)
        # Where all members agree exactly, no factor makes a density of their spread.
        variance = averaged.variance.where(averaged.variance > 0, torch.nan)
        squares = ((averaged.mean - averaged.targets).square() / variance).mean(dim=1)
        for own in groups:
            sums[average].index_add_(0, own, squares)
            sizes[average].index_add_(0, own, torch.ones_like(squares))
    best = (sums / sizes).sqrt()
    return Temperatures(best.clamp(LOWEST, HIGHEST), (best < LOWEST) | (best > HIGHEST))
