"""Scores on the half of the examples that nothing was fitted or chosen on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    return Crossed(raw, _join_halvings(tempered), values, at_bound)


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
    halvings, members = len(halves), len(predictions)
    raw: list[list[dict[str, Measured]]] = [[] for _ in sizes]
    tempered: list[list[dict[str, Measured]]] = [[] for _ in sizes]
    temperatures = torch.empty(len(sizes), halvings, 2, dtype=torch.float64)
    at_bound = torch.empty(len(sizes), halvings, 2, dtype=torch.bool)
    for h, half in enumerate(halves):
        sides = [(half == side).nonzero()[:, 0] for side in (0, 1)]
        found: list[tuple[list[dict[str, Measured]], list[dict[str, Measured]]]] = []
        for side in (0, 1):
            own, other = sides[side], sides[1 - side]
            found.append(([], []))
            running, before = start_average(predictions), None
            for position, member in enumerate(orders[h, side].tolist(), 1):
                running.add(predictions.of(member))
                if position not in sizes:
                    continue
                size, averaged = sizes.index(position), running.average()
                fitted = fit_temperatures(averaged.take(own), torch.zeros(1, len(own), dtype=torch.int64), 1, before)
                before = fitted.values
                temperatures[size, h, side], at_bound[size, h, side] = fitted.values[0], fitted.at_bound[0]
                scored = averaged.take(other)
                found[side][0].append(measure(scored, scores))
                found[side][1].append(measure(scored, scores, fitted.values.expand(len(other))))
                on_share((2 * h + side + position / members) / (2 * halvings))
        back = torch.cat([sides[1], sides[0]]).argsort()  # rows in their own order again
        for into, parts in ((raw, [each[0] for each in found]), (tempered, [each[1] for each in found])):
            for size, (first, second) in enumerate(zip(*parts, strict=True)):
                both = {name: join_measured([first[name], second[name]], dim=1).take(back) for name in scores}
                into[size].append(both)
    return [
        Crossed(_join_halvings(raw[size]), _join_halvings(tempered[size]), temperatures[size], at_bound[size])
        for size in range(len(sizes))
    ]


def _join_halvings(measured: Sequence[Mapping[str, Measured]]) -> dict[str, Measured]:
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
