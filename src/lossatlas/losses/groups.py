"""The losses of groups of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.losses.kinds.cross_entropy import CrossEntropy
from lossatlas.losses.labelled import Labelled
from lossatlas.losses.loss import Loss
from lossatlas.losses.weighing import weigh_examples
from lossatlas.types import Outputs

__all__ = ["GroupLosses", "check_grouping", "find_group_losses", "has_groups"]


@dataclass(frozen=True)
class GroupLosses:
    """The losses of a batch as far as they belong to one group of classes."""

    losses: Tensor
    """The losses, (p, B); arbitrary where the weight is zero."""
    weights: Tensor
    """The weights of the examples in the mean loss of the group, (B,), float64; zero for those outside of it."""


def has_groups(loss: Loss) -> bool:
    """Return whether a loss can have means over groups of classes: it classifies, example by example."""
    return loss.classifies and loss.per_example and not loss.sees_network


def check_grouping(loss: Loss, targets: Any) -> None:
    """Refuse a loss and targets without groups of classes.

    Raises:
        BadInput: the loss does not classify example by example, or the targets are not integer labels.
    """
    if not has_groups(loss):
        raise BadInput(
            f"losses of groups of classes need labels, which {loss.record} does not have; expected a loss per example "
            "that classifies, such as cross_entropy"
        )
    if not isinstance(targets, Tensor) or targets.is_floating_point():
        raise BadInput(
            "losses of groups of classes need one label per example or position, and these targets are probabilities "
            "of classes or other numbers; expected integer labels"
        )


def find_group_losses(
    loss: Loss, outputs: Outputs, losses: Tensor, targets: Any, groups: Sequence[Sequence[int]]
) -> list[GroupLosses]:
    """Find the losses of each of several groups of classes, differentiable in the outputs and the losses.

    The mean loss of a group is ``sum_i w_i l_i / sum_i w_i`` over its examples, with the weights of the loss. Where an
    example has several positions, such as the pixels of an image, it is the mean over the positions whose label is in
    the group; under cross-entropy an example may have positions of several groups.

    Args:
        loss: a loss that :func:`check_grouping` accepts.
        outputs: (p, B, ...), of p networks.
        losses: (p, B), their losses.
        targets: the targets of the B examples.
        groups: the classes of each group.

    Raises:
        BadInput: :func:`check_grouping` refuses the loss or the targets; or, under a loss that is not the
            cross-entropy, an example has positions of several groups.
    """
    check_grouping(loss, targets)
    labelled = loss.labelled(outputs, targets)
    weights = weigh_examples(loss, targets, losses)
    found = []
    for group in groups:
        inside = torch.isin(labelled.labels, torch.tensor(group, device=labelled.labels.device)) & labelled.counted
        if inside[0].numel() == 1:
            found.append(GroupLosses(losses, weights * inside.flatten()))
        elif isinstance(loss, CrossEntropy):
            found.append(_mask_positions(loss, outputs, targets, inside))
        else:
            found.append(GroupLosses(losses, weights * _find_whole(loss, labelled, inside)))
    return found


def _mask_positions(loss: CrossEntropy, outputs: Tensor, targets: Tensor, inside: Tensor) -> GroupLosses:
    """Compute the cross-entropy of the positions inside a group, as if all others were to be ignored."""
    outputs = outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs
    masked = targets.long().masked_fill(~inside.reshape(targets.shape), loss.ignore_index)
    return GroupLosses(torch.stack([loss(one, masked) for one in outputs]), loss.weights(masked))


def _find_whole(loss: Loss, labelled: Labelled, inside: Tensor) -> Tensor:
    """Find the examples (B,) whose positions that count all belong to a group.

    Raises:
        BadInput: an example has some positions in the group and others outside.
    """
    of_group = inside.flatten(1).sum(dim=1)
    if bool(((of_group > 0) & (of_group < labelled.counted.flatten(1).sum(dim=1))).any()):
        raise BadInput(
            f"{loss.record} has one loss for an example whose positions belong to several groups of classes; give "
            "cross_entropy, or examples with labels of one group each"
        )
    return of_group > 0
