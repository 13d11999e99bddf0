"""Scores on the half of the examples that nothing was fitted or chosen on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from lossatlas.ensembles.averaged import Averaged, Running, list_blocks, start_average
from lossatlas.ensembles.calibration import Temperatures
from lossatlas.ensembles.predictions import Predictions
from lossatlas.ensembles.prefixes import PrefixAverages
from lossatlas.ensembles.sampling import Measured, Sampling, Tallies, join_measured
from lossatlas.ensembles.scores import Score
from lossatlas.ensembles.selection import select_by_error, select_by_likelihood

__all__ = ["choose_orders", "cross", "fit_given", "fit_greedy", "measure", "score_greedy"]


def measure(averaged: Averaged, scores: Mapping[str, Score], temperatures: Tensor | None = None) -> dict[str, Measured]:
    """Compute all scores' numbers for the rows of an average.

    Args:
        averaged: the average of n rows.
        scores: the scores by name.
        temperatures: the temperature of each row (n,); None leaves probabilities as they are.
    """
    averaged = averaged if temperatures is None else averaged.temper(temperatures)
    found = {}
    for name, score in scores.items():
        places = score.place(averaged)
        found[name] = Measured(score.rate(averaged)[None], None if places is None else places[None])
    return found


def fit_given(averages: PrefixAverages, halves: Tensor) -> Temperatures:
    """Fit temperatures (S, H, 2) of averages in the given order on both halves of each of H halvings."""
    halvings = len(halves)
    found = averages.fit(halves + 2 * torch.arange(halvings, dtype=halves.dtype)[:, None], 2 * halvings)
    return Temperatures(*(each.view(-1, halvings, 2) for each in found))


def cross(averaged: Averaged, scores: Mapping[str, Score], halves: Tensor, temperatures: Tensor) -> dict[str, Measured]:
    """Measure rows with the temperatures of the halves that they are not in, (H, n) or their mean over halvings.

    Args:
        averaged: the average of n rows.
        scores: the scores by name.
        halves: the half of each row (H, n).
        temperatures: by the half on which they were fitted, (H, 2).
    """
    tempered = [measure(averaged, scores, own[1 - half.long()]) for own, half in zip(temperatures, halves, strict=True)]
    return _join_halvings(tempered)


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


def fit_greedy(
    predictions: Predictions,
    halves: Tensor,
    orders: Tensor,
    sizes: Sequence[int],
    blocks: Sequence[slice],
    memory: int,
    on_share: Callable[[float], object],
) -> Temperatures:
    """Fit temperatures (S, H, 2) of averages in greedy orders, each on the half that its order was chosen on.

    Args:
        predictions: the members' predictions.
        halves: the half of each row (H, N).
        orders: the orders by the half on which they were chosen, (H, 2, K).
        sizes: S numbers of members, ascending.
        blocks: the rows, cut into blocks.
        memory: the bytes that averages may take.
        on_share: told which share is done.
    """
    values = torch.empty(len(sizes), len(halves), 2, dtype=torch.float64)
    at_bound = torch.empty(values.shape, dtype=torch.bool)
    alike = torch.zeros(1, halves.shape[1], dtype=torch.int8)
    for h, half in enumerate(halves):
        for side in (0, 1):
            averages = PrefixAverages(predictions, orders[h, side].tolist(), sizes, blocks, memory, half == side)
            found = averages.fit(alike, 1)
            values[:, h, side], at_bound[:, h, side] = found.values[:, 0], found.at_bound[:, 0]
            on_share((2 * h + side + 1) / (2 * len(halves)))
    return Temperatures(values, at_bound)


def score_greedy(
    predictions: Predictions,
    scores: Mapping[str, Score],
    sampling: Sampling,
    halves: Tensor,
    orders: Tensor,
    temperatures: Tensor,
    sizes: Sequence[int],
    on_share: Callable[[float], object],
) -> list[tuple[Tallies, Tallies]]:
    """Score averages of members in greedy orders, each on the half that it was not chosen on.

    Args:
        predictions: the members' predictions.
        scores: the scores by name.
        sampling: how rows come together.
        halves: the half of each row (H, N).
        orders: the orders by the half on which they were chosen, (H, 2, K).
        temperatures: those of the averages, (S, H, 2).
        sizes: S numbers of members, ascending.
        on_share: told which share is done.

    Returns:
        The scores without and with temperatures, for each number of members.
    """
    found = [(Tallies(sampling, scores), Tallies(sampling, scores)) for _ in sizes]
    for rows in sampling.cut(predictions.rows.width * len(halves)):
        for size, followed in enumerate(_follow(predictions, rows, halves[:, rows], orders, sizes)):
            raw, tempered = [], []
            for h, (sides, back) in enumerate(followed):
                plain = [measure(averaged, scores) for averaged in sides]
                # The rows of a half have the temperature that was fitted on the other one, as their order was.
                own = [temperatures[size, h, side].expand(len(averaged)) for side, averaged in enumerate(sides)]
                with_own = [measure(averaged, scores, each) for averaged, each in zip(sides, own, strict=True)]
                raw.append(_join_sides(plain, back))
                tempered.append(_join_sides(with_own, back))
            found[size][0].add(_join_halvings(raw), rows)
            found[size][1].add(_join_halvings(tempered), rows)
        on_share(rows.stop / sampling.rows)
    return found


def _follow(
    predictions: Predictions, rows: slice, halves: Tensor, orders: Tensor, sizes: Sequence[int]
) -> Iterator[list[tuple[list[Averaged], Tensor]]]:
    """Add members in all greedy orders, for those rows of a block that each was not chosen on.

    Yields:
        For each number of members and each halving the two averages, and where the rows of the block are among theirs.
    """
    where = [[(half != side).nonzero()[:, 0] for side in (0, 1)] for half in halves]
    back = [torch.cat(each).argsort() for each in where]
    running: list[list[Running]] = [[start_average(predictions, own + rows.start) for own in each] for each in where]
    for count in range(1, max(sizes) + 1):
        for h, each in enumerate(running):
            for side, own in enumerate(each):
                own.add(predictions.of(int(orders[h, side, count - 1]))[rows][where[h][side]])
        if count in sizes:
            yield [([own.average() for own in each], back[h]) for h, each in enumerate(running)]


def _join_sides(sides: Sequence[Mapping[str, Measured]], back: Tensor) -> dict[str, Measured]:
    """Put the two ways of a halving together, with rows in the order that ``back`` gives them."""
    return {name: join_measured([each[name] for each in sides], dim=1).take(back) for name in sides[0]}


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
