"""Which predictions are right."""

from __future__ import annotations

from torch import Tensor

from lossatlas.engine import Evaluation

__all__ = ["hits"]


def hits(evaluation: Evaluation) -> tuple[Tensor, Tensor]:
    """Where the largest logit is the label's, (p, B, positions), and which positions count, (1, B, positions); float64.

    Positions whose label is negative (padding of sequences, as in :class:`lossatlas.CrossEntropy`) do not.
    """
    targets = evaluation.targets
    counted = (targets >= 0).double().reshape(1, len(targets), -1)
    right = (evaluation.outputs.argmax(dim=-1) == targets).double()
    return right.reshape(*right.shape[:2], -1) * counted, counted
