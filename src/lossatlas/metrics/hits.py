"""Which predictions are right."""

from __future__ import annotations

from torch import Tensor

from lossatlas.engine import Evaluation

__all__ = ["find_hits"]


def find_hits(evaluation: Evaluation) -> tuple[Tensor, Tensor, Tensor]:
    """Where the largest logit is the label's and counts, which positions count, and the labels there.

    Positions of an example (of a sequence, of an image) are one axis. Which of them count, the loss says
    (:meth:`lossatlas.Loss.labelled`): those with a label that is not ignored; they count alike.

    Returns:
        (p, B, positions) and (B, positions), bool; (B, positions), int64.
    """
    found = evaluation.labelled
    examples = len(found.labels)
    labels, counted = found.labels.reshape(examples, -1), found.counted.reshape(examples, -1)
    guesses = found.logits.argmax(dim=-1).reshape(-1, *labels.shape)
    return (guesses == labels) & counted, counted, labels
