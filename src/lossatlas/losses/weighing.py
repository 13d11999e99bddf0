"""What examples count: a mean loss is a ratio of sums, of weighted losses and of weights.

It is so everywhere. What an example counts does not depend on the point: functionals get shares that sum to one in a
batch, metrics fold both sums, and derivatives are divided by the total weight once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lossatlas.errors import BadInput, CannotFinish, format_error
from lossatlas.losses.loss import Loss
from lossatlas.users_code import call_user_code

__all__ = ["check_total", "share_examples", "total_weights", "weigh_examples"]


NOTHING = 1e-20
"""Weights with no larger sum are none: divided by it, rounding would be all there is."""


def weigh_examples(loss: Loss, targets: Any, losses: Tensor) -> Tensor:
    """What each example of a batch counts (B,), float64, where its losses (..., B) are; ones where all count alike."""
    weights = loss.weights(targets)
    if weights is None:
        return torch.ones(losses.shape[-1], dtype=torch.float64, device=losses.device)
    weights = weights.detach().to(losses.device, torch.float64)
    if not bool((weights >= 0).all()):  # further on than checks have looked
        raise CannotFinish(f"the weights of {loss.record} go down to {float(weights.min()):g}; expected 0 or more")
    return weights


def share_examples(weights: Tensor | None, losses: Tensor) -> Tensor:
    """What each example counts in the mean of its batch (B,), in the numbers of the losses (..., B).

    They sum to one; all are zero where nothing in the batch counts.

    Args:
        weights: (B,), what each counts; None: all alike.
        losses: (..., B).
    """
    if weights is None:
        return losses.new_full(losses.shape[-1:], 1 / losses.shape[-1])
    weights = weights.detach().to(losses.device, torch.float64)
    total = weights.sum()
    return (weights / total.where(total > 0, 1)).to(losses.dtype)


def total_weights(loss: Loss, targets: Any, examples: int) -> float:
    """What examples count together, of any part of a split.

    Args:
        loss: that weighs them.
        targets: theirs.
        examples: how many they are.

    Raises:
        BadInput: the weights are not one number per example, or a negative or infinite one is among them.
    """
    try:
        weights = call_user_code(loss.weights, targets)
    except BadInput:
        raise
    except Exception as error:  # it may be the user's own
        raise BadInput(f"the weights of {loss.record} fail on these targets: {format_error(error)}") from error
    if weights is None:
        return float(examples)
    if not isinstance(weights, Tensor) or weights.shape != (examples,) or weights.is_complex():
        found = f"shape {tuple(weights.shape)}" if isinstance(weights, Tensor) else type(weights).__name__
        raise BadInput(
            f"the weights of {loss.record} are {found} for {examples} examples; expected ({examples},), one number each"
        )
    weights = weights.double()
    if not bool(weights.isfinite().all()) or bool((weights < 0).any()):
        raise BadInput(
            f"the weights of {loss.record} run from {float(weights.min()):g} to {float(weights.max()):g}; expected "
            "finite numbers, none below 0"
        )
    return float(weights.sum())


def check_total(loss: Loss, total: float) -> None:
    """Refuse a split of which nothing counts.

    Args:
        loss: that weighs examples.
        total: what all examples count together, the sum of :func:`total_weights` over the split's parts.

    Raises:
        BadInput: it is zero.
    """
    if not total > NOTHING:
        raise BadInput(
            f"no example counts under {loss.record}: all weights are 0, or all labels are those that are ignored; "
            "expected some that count"
        )
