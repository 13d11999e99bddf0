"""Temperatures: the one number that makes averaged predictions more or less certain, fitted on some examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lossatlas.ensembles.averaged import Averaged, AveragedClasses, AveragedValues, list_blocks

__all__ = ["HIGHEST", "LOWEST", "Temperatures", "fit_temperature", "fit_temperatures"]

LOWEST, HIGHEST = 0.05, 20.0
"""The bounds of temperatures."""
TOLERANCE = 1e-4
"""The relative length of a step of Newton's that ends a search; the error after it is of the order of its square."""
QUICK, MOST = 6, 200
"""After how many of Newton's steps every other one halves the bracket; how many there are at most."""


class Temperatures(NamedTuple):
    """Fitted temperatures of G groups of rows."""

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

    Of averaged values the temperature is the factor on the spread with the highest likelihood, within the same bounds:
    the root of the mean squared error in units of the spread.

    Args:
        averaged: the average of N rows.
        groups: the group of each row in each of H divisions of the rows, (H, N), int64, in [0, G).
        count: the number G of groups.
        start: temperatures (G,) to begin with, such as those of an average of fewer members.
    """
    if isinstance(averaged, AveragedValues):
        return _fit_spreads(averaged, groups, count)
    assert isinstance(averaged, AveragedClasses)
    first = _full(count, 1.0) if start is None else (1 / start).nan_to_num(nan=1.0)
    inverse, at_bound = _find_zeros(lambda inverse: _differentiate(averaged, groups, inverse), first)
    impossible = _sum_groups(averaged.of_label.isinf().double().expand_as(groups), groups, count) > 0
    return Temperatures((1 / inverse).where(~impossible, torch.nan), at_bound & ~impossible)


def _differentiate(averaged: AveragedClasses, groups: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the second derivative (G,) of the summed negative log likelihood in the inverse temperature.

    With ``d_c = log p_c - log p_label`` they are the mean of d and its variance, under ``softmax(d / T)``.
    """
    slopes, curvatures = torch.zeros(2, len(inverse), dtype=torch.float64)
    shared = bool((inverse == inverse[0]).all())
    for rows in list_blocks(len(averaged), averaged.width):
        part = averaged.take(rows)
        # Classes of probability 0 stay so at every temperature.
        above = (part.log_probabilities - part.of_label).nan_to_num(nan=0.0, neginf=-1e30, posinf=1e30)
        for own in groups[:1, rows] if shared else groups[:, rows]:
            weights = (above * inverse[own]).softmax(dim=0)
            weighted = weights * above
            mean = weighted.sum(dim=0)
            variance = (weighted * above).sum(dim=0) - mean.square()
            for each in groups[:, rows] if shared else [own]:
                slopes.index_add_(0, each, mean)
                curvatures.index_add_(0, each, variance)
    return slopes, curvatures


def _find_zeros(differentiate: Callable[[Tensor], tuple[Tensor, Tensor]], start: Tensor) -> tuple[Tensor, Tensor]:
    """Find the inverse temperatures at which increasing functions are zero: Newton's method within brackets.

    Args:
        differentiate: computes the values and the slopes (G,) of the functions at positions (G,).
        start: the first positions (G,).

    Returns:
        The positions (G,), and whether a function has no zero between the bounds. A function that is zero
        everywhere has its zero at 1.
    """
    low, high = torch.full_like(start, 1 / HIGHEST), torch.full_like(start, 1 / LOWEST)
    at_low, at_high = differentiate(low)[0], differentiate(high)[0]
    flat = (at_low == 0) & (at_high == 0)
    below, beyond = (at_low >= 0) & ~flat, (at_high <= 0) & ~flat
    at = start.clamp(low, high)
    at = torch.where(below, low, torch.where(beyond, high, torch.where(flat, 1.0, at)))
    done = flat | below | beyond
    for step in range(MOST):
        if bool(done.all()):
            break
        value, slope = differentiate(at)
        low, high = torch.where(value < 0, at, low), torch.where(value > 0, at, high)
        newton = torch.where(value == 0, at, at - value / slope)
        inside = (newton >= low) & (newton <= high)
        late = step >= QUICK and step % 2 == 0
        narrow = high <= low * (1 + TOLERANCE**2)
        close = narrow | (inside & ((newton - at).abs() <= TOLERANCE * at))
        found = torch.where(inside & close if late else inside, newton, (low * high).sqrt())
        at, done = torch.where(done, at, found), done | close
    return at, below | beyond


def _fit_spreads(averaged: AveragedValues, groups: Tensor, count: int) -> Temperatures:
    # Where all members agree exactly, no factor makes a density of their spread.
    variance = averaged.variance.where(averaged.variance > 0, torch.nan)
    squares = ((averaged.mean - averaged.targets).square() / variance).mean(dim=1).expand(groups.shape)
    sizes = _sum_groups(torch.ones_like(squares), groups, count)
    best = (_sum_groups(squares, groups, count) / sizes).sqrt()
    return Temperatures(best.clamp(LOWEST, HIGHEST), (best < LOWEST) | (best > HIGHEST))


def _sum_groups(values: Tensor, groups: Tensor, count: int) -> Tensor:
    """Sum values (H, N) within groups: (G,)."""
    return values.new_zeros(count).index_add_(0, groups.flatten(), values.flatten())


def _full(count: int, value: float) -> Tensor:
    return torch.full((count,), value, dtype=torch.float64)
