"""What a loss makes of what it sees, whichever kind it is."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lossatlas.losses.loss import Loss
from lossatlas.losses.terms import Termwise, sum_terms
from lossatlas.types import Outputs

__all__ = ["judge"]


def judge(loss: Loss, seen: Outputs, targets: Any) -> tuple[Outputs, Tensor]:
    """Outputs and losses (B,) of a batch; beside the outputs the terms of a loss that has several.

    Args:
        loss: the problem's.
        seen: outputs (B, ...); of a loss that calls the network, what it returned, whose losses then stand for outputs.
        targets: of the batch.
    """
    own = loss.sees_network
    if not loss.terms:
        return seen, seen if own else loss(seen, targets)
    total, terms = sum_terms(seen if own else loss.of_terms(seen, targets), loss.terms)
    return Termwise(total if own else seen, terms), total
