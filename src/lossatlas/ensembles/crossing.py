"""Scores on the half of the examples that nothing was fitted or chosen on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lossatlas.ensembles.averaged import Averaged, list_blocks, start_average
from lossatlas.ensembles.calibration import fit_temperatures
from lossatlas.ensembles.predictions import Predictions
from lossatlas.ensembles.sampling import Measured, join_measured
from lossatlas.ensembles.scores import Score
from lossatlas.ensembles.selection import select_by_error, select_by_likelihood

__all__ = ["Crossed", "choose_orders", "cross_given", "cross_greedy", "measure"]


@dataclass(frozen=True, eq=False)
class Crossed:
    """What is found of averages of one number of members in one order."""

    raw: Mapping[str, Measured]
    tempered: Mapping[str, Measured]
    temperatures: Tensor
    """By the half on which they were fitted, (H, 2)."""
    at_bound: Tensor
    """(H, 2), bool."""


def measure(averaged: Averaged, scores: Mapping[str, Score], temperatures: Tensor | None = None) -> dict[str, Measured]:
    """Compute all scores' numbers for the rows of an average.

    Args:
        averaged: the average of N rows.
        scores: the scores by name.
        temperatures: the temperature of each row (N,); None leaves probabilities as they are.
    """
    found: dict[str, list[Measured]] = {name: [] for name in scores}
    for rows in list_blocks(len(averaged), averaged.width):
        part = averaged.take(rows)
        if temperatures is not None:
            part = part.temper(temperatures[rows])
        for name, score in scores.items():
            places = score.place(part)
            found[name].append(Measured(score.rate(part)[None], None if places is None else places[None]))
    return {name: join_measured(parts, dim=1) for name, parts in found.items()}


def cross_given(
    averaged: Averaged, scores: Mapping[str, Score], halves: Tensor, raw: Mapping[str, Measured], before: Tensor | None
) -> Crossed:
    """Score an average of members in the given order, which is the same for all halves.

    Args:
        averaged: the average of N rows.
        scores: the scores by name.
        halves: the half of each row (H, N).
        raw: its numbers without a temperature.
        before: temperatures (H, 2) of an average of fewer members, to begin with.
    """
    halvings = len(halves)
    groups = halves + 2 * torch.arange(halvings)[:, None]
    start = None if before is None else before.flatten()
    values, at_bound = (each.view(halvings, 2) for each in fit_temperatures(averaged, groups, 2 * halvings, start))
    tempered = [
        measure(averaged, scores, own[1 - half]) for own, half in zip(values, halves, strict=True)
    ]  # each row with the temperature of the other half
    return Crossed(raw, _average_halvings(tempered), values, at_bound)


def choose_orders(
    predictions: Predictions, of_label: Tensor | None, halves: Tensor, on_share: Callable[[float], object]
) -> Tensor:
    """Choose a greedy order of K members on each half of each halving.

    Args:
        predictions: the members' predictions.
        of_label: of classes the logarithms of the probabilities of labels, (K, N).
        halves: the half of each row (H, N).
        on_share: told which share is done.

    Returns:
        The members in the order in which they are added, (H, 2, K).
    """
    found = torch.empty(len(halves), 2, len(predictions), dtype=torch.int64)
    for h, half in enumerate(halves):
        for side in (0, 1):
            if of_label is not None:
                order = select_by_likelihood(of_label[:, half == side])
            else:
                order = select_by_error(_multiply_errors(predictions, (half == side).nonzero()[:, 0]))
            found[h, side] = torch.tensor(order)
            on_share((2 * h + side + 1) / (2 * len(halves)))
    return found


def cross_greedy(
    predictions: Predictions,
    scores: Mapping[str, Score],
    halves: Tensor,
    orders: Tensor,
    sizes: Sequence[int],
    on_share: Callable[[float], object],
) -> list[Crossed]:
    """Score averages of members in greedy orders, each on the half that it was not chosen on.

    Args:
        predictions: the members' predictions.
        scores: the scores by name.
        halves: the half of each row (H, N).
        orders: the orders by the half on which they were chosen, (H, 2, K).
        sizes: the numbers of members, ascending.
        on_share: told which share is done.

    Returns:
        One for each number of members.
    """
    found: list[list[Crossed]] = [[] for _ in sizes]
    for h, half in enumerate(halves):
        rows = [(half == side).nonzero()[:, 0] for side in (0, 1)]
        sides = []
        for side in (0, 1):
            parts = _follow(predictions, scores, orders[h, side].tolist(), rows[side], rows[1 - side], sizes)
            sides.append(list(parts))
            on_share((2 * h + side + 1) / (2 * len(halves)))
        back = torch.cat([rows[1], rows[0]]).argsort()  # to the order in which the rows were given
        for into, first, second in zip(found, *sides, strict=True):
            into.append(_join_sides(first, second, back))
    return [_join_halvings(of_size) for of_size in found]


def _follow(
    predictions: Predictions,
    scores: Mapping[str, Score],
    order: Sequence[int],
    own: Tensor,
    other: Tensor,
    sizes: Sequence[int],
) -> Iterator[Crossed]:
    """Add members in an order, fit temperatures on the rows that it was chosen on, and score the other rows.

    Yields:
        For each number of members the numbers for the other rows, and one temperature (1, 1).
    """
    running, before = start_average(predictions), None
    for count, member in enumerate(order, 1):
        running.add(predictions.of(member))
        if count in sizes:
            averaged = running.average()
            fitted = fit_temperatures(averaged.take(own), torch.zeros(1, len(own), dtype=torch.int64), 1, before)
            before = fitted.values
            scored = averaged.take(other)
            tempered = measure(scored, scores, fitted.values.expand(len(other)))
            yield Crossed(measure(scored, scores), tempered, fitted.values[None], fitted.at_bound[None])


def _join_sides(first: Crossed, second: Crossed, back: Tensor) -> Crossed:
    """Put the two ways of a halving together, with rows in the order that ``back`` gives them."""

    def join(one: Mapping[str, Measured], other: Mapping[str, Measured]) -> dict[str, Measured]:
        return {name: join_measured([one[name], other[name]], dim=1).take(back) for name in one}

    return Crossed(
        join(first.raw, second.raw),
        join(first.tempered, second.tempered),
        torch.cat([first.temperatures, second.temperatures], dim=1),
        torch.cat([first.at_bound, second.at_bound], dim=1),
    )


def _join_halvings(crossed: Sequence[Crossed]) -> Crossed:
    return Crossed(
        _average_halvings([each.raw for each in crossed]),
        _average_halvings([each.tempered for each in crossed]),
        torch.cat([each.temperatures for each in crossed]),
        torch.cat([each.at_bound for each in crossed]),
    )


def _average_halvings(measured: Sequence[Mapping[str, Measured]]) -> dict[str, Measured]:
    return {name: join_measured([each[name] for each in measured], dim=0).compact() for name in measured[0]}


def _multiply_errors(predictions: Predictions, rows: Tensor) -> Tensor:
    """The products (K, K) of members' errors, summed over rows."""
    members = len(predictions)
    products = torch.zeros(members, members, dtype=torch.float64)
    for block in list_blocks(len(rows), members * predictions.targets[0].numel()):
        own = rows[block]
        errors = (predictions.some(own).double() - predictions.targets[own].double()).flatten(1)
        products += errors @ errors.T
    return products
