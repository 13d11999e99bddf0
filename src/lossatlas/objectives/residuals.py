"""Residuals of predictions, whose products say whether networks err alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.losses.kinds.squared_error import SquaredError
from lossatlas.types import Outputs

__all__ = ["check_residuals", "find_residuals", "has_residuals", "multiply_residuals"]


def has_residuals(loss: Loss) -> bool:
    """Return whether predictions under a loss have residuals: it classifies, or is the squared error."""
    return not loss.sees_network and (loss.classifies or isinstance(loss, SquaredError))


def check_residuals(loss: Loss) -> None:
    """Refuse a loss under which predictions do not have residuals.

    Raises:
        BadInput: it neither classifies nor is the squared error.
    """
    if not has_residuals(loss):
        raise BadInput(
            f"decorrelation is of the errors of probabilities or of numbers, which {loss.record} does not have; "
            "expected a loss that classifies, or squared_error: leave --decorrelation out"
        )


def find_residuals(loss: Loss, outputs: Outputs, targets: Any) -> Tensor:
    """Compute what each network gets wrong on each example, prediction minus target.

    Under a loss that classifies these are probabilities minus the one-hot label (or the probabilities that are the
    targets), at all positions that count; under the squared error outputs minus targets. They are scaled so that the
    square of an example's residual is a mean over positions, or over outputs as in the squared error itself.

    Args:
        loss: a loss that :func:`check_residuals` accepts.
        outputs: (K, B, ...), of K networks on B examples.
        targets: of the B examples.

    Returns:
        The residuals, (K, B, F), differentiable.
    """
    if not loss.classifies:
        distances: Tensor = outputs - targets
        distances = distances.flatten(2) if distances.ndim > 2 else distances[..., None]
        return distances.div(distances.shape[2] ** 0.5)
    labelled = loss.labelled(outputs, targets)
    logits = labelled.logits
    logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    if targets.is_floating_point():
        right = targets.movedim(labelled.axis, -1)
    else:
        right = functional.one_hot(labelled.labels.where(labelled.counted, 0), logits.shape[-1])
    wrong: Tensor = (logits.softmax(dim=-1) - right.to(logits)) * labelled.counted[..., None]
    positions = labelled.counted.reshape(len(right), -1).sum(dim=1).clamp(min=1)
    return wrong.flatten(2) / positions.to(logits).sqrt()[:, None]


def multiply_residuals(total: Tensor, squares: Tensor, count: int) -> Tensor:
    """Compute the mean over pairs of different networks of the scalar product of their residuals, by example.

    For K networks it is ``(K^2 ||mean||^2 - sum of ||e_i||^2) / (K (K - 1))``, and takes no pair of them.

    Args:
        total: (B, F), the sum of the residuals of all networks.
        squares: (B,), the sum of the squared norms of their residuals.
        count: the number K of networks, two or more.

    >>> import torch
    >>> residuals = torch.tensor([[[1.0, 0.0]], [[0.5, 1.0]], [[-1.0, 2.0]]])
    >>> multiply_residuals(residuals.sum(dim=0), residuals.square().sum(dim=(0, 2)), 3)
    tensor([0.3333])
    """
    return (total.square().sum(dim=1) - squares) / (count * (count - 1))
