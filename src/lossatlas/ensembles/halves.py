"""Halves of examples, on one of which something is chosen, and scored on the other."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.ensembles.predictions import CLASSES, Rows
from lossatlas.errors import BadInput
from lossatlas.streams import make_generator

__all__ = ["halve"]

FEWEST = 2
"""The least number of examples of a half."""


def halve(rows: Rows, halvings: int, seed: int) -> Tensor:
    """Halve the examples at random, several times, with the rows of an example in one half.

    Where no example has several rows, each class is halved by itself, to within one example.

    Args:
        rows: whose examples are halved.
        halvings: how often, H.
        seed: the seed; halving k is a function of it and of k.

    Returns:
        The half, 0 or 1, of each row (H, N), int64.

    Raises:
        BadInput: there are too few examples, or a class has a single one or is missing in a half.
    """
    examples, total = _number_examples(rows)
    if halvings and total < 2 * FEWEST:
        raise BadInput(
            f"a split of {total} examples is too small for halves, one to fit a temperature on and one to score; "
            f"expected {2 * FEWEST} or more: take a larger split, or no halvings"
        )
    labels = rows.targets if rows.kind == CLASSES else None
    alone = labels is not None and examples is None
    if halvings and labels is not None and alone:
        _check_classes(labels)
    found = torch.empty(halvings, len(rows), dtype=torch.int64)
    for k in range(halvings):
        order = torch.randperm(total, generator=make_generator(seed, "halves", k))
        if labels is not None and alone:  # in the order of classes, which then take turns, too, at having one more
            order = order[labels[order].argsort(stable=True)]
        half = torch.empty(total, dtype=torch.int64)
        half[order] = torch.arange(total) % 2
        found[k] = half if examples is None else half[examples]
        if labels is not None and not alone:
            _check_both(labels, found[k])
    return found


def _number_examples(rows: Rows) -> tuple[Tensor | None, int]:
    """The example of each row, of those that have rows, and their number; None where each has one."""
    own, examples = torch.unique(rows.examples, return_inverse=True)
    return None if len(own) == len(rows) else examples, len(own)


def _check_classes(labels: Tensor) -> None:
    counts = labels.bincount()
    if len(single := (counts == 1).nonzero()):
        raise BadInput(
            f"class {int(single[0])} has a single example, and would be missing in one of two halves; expected two or "
            "more of each class that there is: take a larger split, or no halvings"
        )


def _check_both(labels: Tensor, half: Tensor) -> None:
    there = [torch.unique(labels[half == side]) for side in (0, 1)]
    for side, other in ((0, 1), (1, 0)):
        if len(missing := there[side][~torch.isin(there[side], there[other])]):
            raise BadInput(
                f"class {int(missing[0])} is missing in one half of the examples; expected every class in both: take a "
                "larger split, or no halvings"
            )
