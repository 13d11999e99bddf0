"""The mean loss of groups of classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor

from lossatlas.engine import Evaluation, Folded, StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.losses import Loss, find_group_losses, has_groups
from lossatlas.metrics.mean import divide_ratio, find_ratio_error, sum_ratio
from lossatlas.pictures import check_groups, parse_groups, settle_groups, write_groups
from lossatlas.schema import GROUP, GROUP_LOSS, STANDARD_ERROR, Companion, Quantity

__all__ = ["GroupLoss"]


class GroupLoss(StreamingMetric):
    """The mean loss of the examples of each of several groups of classes; over a random subset with standard errors.

    Where examples have several positions it is the mean over those whose label is in the group. NaN for a group that
    has no example.

    Args:
        groups: the classes of each group, disjoint; classes may be left out.

    Raises:
        BadInput: there are no groups, one is empty, or two overlap.

    Example:
        >>> from lossatlas.metrics.kinds.group_loss import GroupLoss
        >>> GroupLoss.of("0-2;3-5;6-9").groups
        ((0, 1, 2), (3, 4, 5), (6, 7, 8, 9))
    """

    companions = (STANDARD_ERROR,)

    def __init__(self, groups: Iterable[Iterable[int]] = ()) -> None:
        groups = tuple(map(tuple, groups))
        if not groups:
            raise BadInput("metric 'group_loss' needs groups of classes, as in 'group_loss:0-2;3-5;6-9'")
        self.groups = check_groups(groups)

    @classmethod
    def of(cls, argument: str) -> Self:
        return cls(parse_groups(argument))

    def applies(self, loss: Loss) -> bool:
        return has_groups(loss)

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity(GROUP_LOSS, "mean loss of a group of classes", loss.units, GROUP, write_groups(self.groups))

    def length(self, evaluation: Evaluation) -> int:
        settle_groups(self.groups, evaluation.labelled.logits.shape[-1])
        return len(self.groups)

    def sums(self, evaluation: Evaluation) -> Tensor:
        """The sums of :func:`~lossatlas.metrics.mean.sum_ratio` of each group, (p, groups, 5)."""
        found = find_group_losses(
            evaluation.loss, evaluation.outputs, evaluation.losses, evaluation.targets, self.groups
        )
        return torch.stack([sum_ratio(one.losses, one.weights) for one in found], dim=1)

    def value(self, folded: Folded) -> Tensor:
        return divide_ratio(folded.sums)

    def companion(self, companion: Companion, folded: Folded) -> Tensor:
        return find_ratio_error(folded)
