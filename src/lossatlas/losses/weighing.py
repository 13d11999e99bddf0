"""The weights of examples: a mean loss is the sum of weighted losses over the sum of weights.

That holds everywhere. Weights do not depend on the point: functionals are given shares that sum to one in a batch,
metrics accumulate both sums, and derivatives are divided by the total weight once.
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
"""A sum of weights up to this counts as zero: dividing by it would leave nothing but rounding error."""


def weigh_examples(loss: Loss, targets: Any, losses: Tensor) -> Tensor:
    """Weigh the examples of a batch: (B,), float64, on the device of the losses (..., B); ones for equal weights."""
    weights = loss.weights(targets)
    if weights is None:
        return torch.ones(losses.shape[-1], dtype=torch.float64, device=losses.device)
    weights = weights.detach().to(losses.device, torch.float64)
    if not bool((weights >= 0).all()):  # further on than checks have looked
        raise CannotFinish(f"the weights of {loss.record} go down to {float(weights.min()):g}; expected 0 or more")
    return weights


def share_examples(weights: Tensor | None, losses: Tensor) -> Tensor:
    """Compute the share of each example in the mean of its batch (B,), in the dtype of the losses (..., B).

    The shares sum to one, or are all zero if the weights are.

    Args:
        weights: (B,), the weight of each example; None for equal weights.
        losses: (..., B).
    """
    if weights is None:
        return losses.new_full(losses.shape[-1:], 1 / losses.shape[-1])
    weights = weights.detach().to(losses.device, torch.float64)
    total = weights.sum()
    return (weights / total.where(total > 0, 1)).to(losses.dtype)


def total_weights(loss: Loss, targets: Any, examples: int) -> float:
    """Sum the weights of the examples of a part of a split.

    Args:
        loss: the loss that weighs them.
        targets: their targets.
        examples: their number.

    Raises:
        BadInput: the weights are not one number per example, or one is negative or infinite.
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
    """Refuse a split whose weights are all zero.

    Args:
        loss: the loss that weighs the examples.
        total: the sum of the weights of all examples, from :func:`total_weights` of the parts of the split.

    Raises:
        BadInput: it is zero.
    """
    if not total > NOTHING:
        raise BadInput(
            f"no example counts under {loss.record}: all weights are 0, or all labels are those that are ignored; "
            "expected some that count"
        )
