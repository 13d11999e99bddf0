"""Halves of examples, on one of which something is chosen, and scored on the other."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from lossatlas.ensembles.predictions import CLASSES, Rows
from lossatlas.errors import BadInput, Caution
from lossatlas.streams import make_generator

__all__ = ["check_halves", "halve"]

FEWEST = 2
"""The least number of examples of a half."""


def check_halves(rows: Rows, halvings: int, seed: int) -> None:
    """Refuse examples that cannot be halved, and warn of classes that would be missing in a half.

    Args:
        rows: whose examples are to be halved.
        halvings: how often, H.
        seed: the seed.

    Raises:
        BadInput: there are too few examples; or each is one row, so that classes are halved one by one, and a class has
            a single example.
    """
    examples, total = _number_examples(rows)
    if not halvings:
        return
    if total < 2 * FEWEST:
        raise BadInput(
            f"a split of {total} examples is too small for halves, one to fit a temperature on and one to score; "
            f"expected {2 * FEWEST} or more: take a larger split, or no halvings"
        )
    if rows.kind != CLASSES:
        return
    if examples is None:
        _check_classes(rows.targets)
    elif missing := max(_count_missing(rows.targets, half) for half in halve(rows, halvings, seed)):
        warnings.warn(
            Caution(
                f"of {len(torch.unique(rows.targets)):,} classes up to {missing:,} are missing in one half of the "
                "examples, as examples have several labels; temperatures and orders are chosen without them: a larger "
                "split has more of them"
            ),
            stacklevel=3,
        )


def halve(rows: Rows, halvings: int, seed: int) -> Tensor:
    """Halve the examples at random, several times, with the rows of an example in one half.

    Where no example has several rows, each class is halved by itself, to within one example.

    Args:
        rows: whose examples are halved, see :func:`check_halves`.
        halvings: how often, H.
        seed: the seed; halving k is a function of it and of k.

    Returns:
        The half, 0 or 1, of each row (H, N), int8.
    """
    examples, total = _number_examples(rows)
    labels = rows.targets if rows.kind == CLASSES and examples is None else None
    found = torch.empty(halvings, len(rows), dtype=torch.int8)
    for k in range(halvings):
        order = torch.randperm(total, generator=make_generator(seed, "halves", k))
        if labels is not None:  # in the order of classes, which then take turns, too, at having one more
            order = order[labels[order].argsort(stable=True)]
        half = torch.empty(total, dtype=torch.int8)
        half[order] = (torch.arange(total) % 2).to(torch.int8)
        found[k] = half if examples is None else half[examples]
    return found


def _number_examples(rows: Rows) -> tuple[Tensor | None, int]:
    """The example of each row, of those that have rows, and their number; None where each has one."""
    own, examples = torch.unique_consecutive(rows.examples, return_inverse=True)
    return None if len(own) == len(rows) else examples, len(own)


def _check_classes(labels: Tensor) -> None:
    counts = labels.bincount()
    if len(single := (counts == 1).nonzero()):
        raise BadInput(
            f"class {int(single[0])} has a single example, and would be missing in one of two halves; expected two or "
            "more of each class that there is: take a larger split, or no halvings"
        )


def _count_missing(labels: Tensor, half: Tensor) -> int:
    """The number of classes that one of the halves lacks."""
    one, other = (torch.unique(labels[half == side]) for side in (0, 1))
    return int((~torch.isin(one, other)).sum() + (~torch.isin(other, one)).sum())
