"""The values of a loss, whether it is given outputs or calls the network itself."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lossatlas.losses.loss import Loss
from lossatlas.losses.terms import Termwise, sum_terms
from lossatlas.types import Outputs

__all__ = ["judge"]


def judge(loss: Loss, seen: Outputs, targets: Any) -> tuple[Outputs, Tensor]:
    """Compute the outputs and losses (B,) of a batch, with the terms of a loss that has several beside the outputs.

    Args:
        loss: the loss of the problem.
        seen: the outputs (B, ...); for a loss that calls the network, what it returned, which stands for outputs, too.
        targets: the targets of the batch.
    """
    own = loss.sees_network
    if not loss.terms:
        return seen, seen if own else loss(seen, targets)
    total, terms = sum_terms(seen if own else loss.of_terms(seen, targets), loss.terms)
    return Termwise(total if own else seen, terms), total
