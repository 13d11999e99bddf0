"""Which predictions are correct."""

from __future__ import annotations

from torch import Tensor

from lossatlas.engine import Evaluation

__all__ = ["find_hits"]


def find_hits(evaluation: Evaluation) -> tuple[Tensor, Tensor, Tensor]:
    """Find the correct predictions: where the largest logit is that of the label.

    The positions of an example (of a sequence, of an image) are flattened to one axis. The loss decides which of them
    count (:meth:`lossatlas.Loss.labelled`): those whose label is not ignored, with equal weights.

    Returns:
        Correct predictions at positions that count (p, B, positions), bool; the positions that count (B, positions),
        bool; the labels (B, positions), int64.
    """
    found = evaluation.labelled
    examples = len(found.labels)
    labels, counted = found.labels.reshape(examples, -1), found.counted.reshape(examples, -1)
    guesses = found.logits.argmax(dim=-1).reshape(-1, *labels.shape)
    return (guesses == labels) & counted, counted, labels
