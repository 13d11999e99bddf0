"""Logits and labels in a common layout, with the classes along the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from lossatlas.errors import BadInput

__all__ = ["Labelled", "count_from_the_end", "find_class_axis", "read_labels"]


@dataclass(frozen=True)
class Labelled:
    """The logits of p networks on B examples, each with any number of positions (of a sequence, of an image)."""

    logits: Tensor
    """The logits, (p, B, ..., C)."""
    labels: Tensor
    """The labels, (B, ...), int64, shared by all points."""
    counted: Tensor
    """The positions that count, (B, ...), bool; labels elsewhere are arbitrary."""
    axis: int
    """The class axis of the outputs, counted from the end."""


def find_class_axis(outputs: Sequence[int], labels: Sequence[int], stated: int | None = None) -> int:
    """Find the class axis of outputs, counted from the end.

    Labels may have an axis of length one in its place, such as (N, 1) for logits (N, C).

    Args:
        outputs: the shape (B, ...) of the outputs of one network.
        labels: the shape (B, ...) of the labels.
        stated: the class axis, where it is given; None for the second or the last axis, whichever the labels fit.

    Raises:
        BadInput: there is no such axis, no axis fits the labels, or both the second and the last one do.

    >>> find_class_axis((8, 5, 12), (8, 12)), find_class_axis((8, 12, 5), (8, 12))
    (-2, -1)
    """
    shape, labels = tuple(outputs), tuple(labels)
    if len(shape) < 2:
        raise BadInput(
            f"the model's output {shape} does not fit cross-entropy and accuracies, which need logits (B, ..., C); "
            "with one logit per example give a loss of your own, of binary_cross_entropy_with_logits"
        )
    candidates = sorted({1 - len(shape), -1} if stated is None else {count_from_the_end(shape, stated)})
    fitting = [axis for axis in candidates if labels in _fitting(shape, axis)]
    if len(fitting) > 1:
        raise BadInput(
            f"the model's output {shape} fits labels {labels} with the classes along axis 1 and along axis "
            f"{len(shape) - 1}; say which: CrossEntropy(class_axis=...), --loss.class_axis on the command line"
        )
    if not fitting:
        wanted = " or ".join(str(_fitting(shape, axis)[0]) for axis in candidates)
        raise BadInput(
            f"the model's output {shape} does not fit labels {labels}; expected labels {wanted}: squeeze axes of "
            "length one, or state another axis of the classes (class_axis)"
        )
    return fitting[0]


def count_from_the_end(outputs: Sequence[int], stated: int) -> int:
    """Count an axis of outputs (B, ...), given from the front or from the end, from the end.

    Raises:
        BadInput: there is no such axis, or it is that of the examples.
    """
    axis = stated if stated < 0 else stated - len(outputs)
    if not -len(outputs) < axis < 0:
        raise BadInput(
            f"class_axis {stated} is not there: the model's output is {tuple(outputs)}; expected an axis from 1 to "
            f"{len(outputs) - 1}"
        )
    return axis


def read_labels(outputs: Sequence[int], labels: Tensor, axis: int) -> Tensor:
    """Convert labels (B, ...) to int64, without an axis of length one in the place of the class axis."""
    inner, _ = _fitting(outputs, axis)
    return labels.long().reshape(inner)


def _fitting(outputs: Sequence[int], axis: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of labels that fit outputs with a class axis: without that axis, and with an axis of length one."""
    before, after = tuple(outputs[:axis]), tuple(outputs[len(outputs) + axis + 1 :])
    return (*before, *after), (*before, 1, *after)
