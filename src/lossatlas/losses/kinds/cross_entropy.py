"""The cross-entropy of logits and labels."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from lossatlas.bounds import Share, check_values
from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.losses.labelled import Labelled, count_from_the_end, find_class_axis, read_labels
from lossatlas.losses.loss import Loss

__all__ = ["CrossEntropy"]

WRITTEN = 12
"""The largest number of class weights that a record lists; more are recorded by a hash."""
ROUNDING = 1e-3
"""The tolerance for the sum of probabilities, which should be one."""
NEXT_TO_NOTHING = 1e-30
"""The weight of labels with weight zero, as a share of the largest; label smoothing gives them a loss all the same."""


@dataclass(frozen=True, repr=False)  # what it records of itself says it
class CrossEntropy(Loss):
    """``-log softmax(logits)[label]`` in nats; over a split equal to torch's ``cross_entropy(reduction="mean")``.

    With positions j of example i (of a sequence, of an image; a single one for labels (B,)), labels y and class
    weights c, the mean over any set of examples is ``sum_ij c[y_ij] l_ij / sum_ij c[y_ij]`` over the positions whose
    label is not ``ignore_index``. It does not depend on how examples are batched: the weight of an example is the sum
    of the weights of its positions, and its loss is their weighted mean, 0 where no position counts. With
    ``label_smoothing`` s the loss of a position is ``(1 - s) l + s / C sum_k c[k] / c[y] (-log softmax(logits)[k])``,
    as in torch.

    Labels are (B, ...), integers of any width, for logits (B, ..., C) or (B, C, ...). Labels may have an axis of length
    one in the place of the class axis. Floating-point targets of the shape of the logits are probabilities: then all
    positions have equal weight, and accuracies compare with the most probable class. ``weight`` may be any sequence or
    tensor.

    Raises:
        BadInput: an option is out of its bounds.

    Example:
        >>> import torch, lossatlas as la
        >>> logits, labels = torch.zeros(2, 3, 4), torch.tensor([[0, 1, 255, 255], [2, 1, 1, 255]])
        >>> loss = la.CrossEntropy(class_axis=1, ignore_index=255)
        >>> loss(logits, labels), loss.weights(labels)
        (tensor([1.0986, 1.0986]), tensor([2., 3.], dtype=torch.float64))
    """

    class_axis: int | None = None
    """Axis of the logits along which the classes lie: 1 in torch's layout, -1 for the last. By default the second or
    the last, whichever fits the labels."""
    ignore_index: int = -100
    """Label of the positions that do not count."""
    weight: tuple[float, ...] | None = None
    """Weight of each class in the loss (C,), 0 or more; by default 1. Accuracies count all positions alike."""
    label_smoothing: Share = 0.0
    """Fraction of each label that is spread over all classes, in [0, 1]."""

    classifies = True
    units = "nat"
    takes_tensors = True
    _settled: ClassVar[int | None] = None
    """The class axis, as found on the first batch."""

    def __post_init__(self) -> None:
        if self.class_axis == 0:
            raise BadInput(
                "class_axis is 0, the axis of the examples; expected that of the classes: 1 in torch's layout"
            )
        check_values(self)
        if self.weight is not None:
            object.__setattr__(self, "weight", _checked_weights(self.weight))

    @property
    def record(self) -> str:
        """The name of the loss and all options that differ from the defaults."""
        stated = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}
        if len(stated.get("weight", ())) > WRITTEN:
            hashed = fingerprint([("weight", torch.tensor(self.weight, dtype=torch.float64))])
            stated["weight"] = f"{len(stated['weight'])} numbers {hashed[:8]}"
        options = ", ".join(f"{name}={value}" for name, value in stated.items())
        return f"CrossEntropy({options})" if options else "CrossEntropy"

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        axis = self._axis(outputs.shape, targets)
        logits = outputs.movedim(axis, -1)
        if targets.is_floating_point():
            labels = targets.movedim(axis, -1).to(logits).flatten(0, -2)
        else:
            labels = read_labels(outputs.shape, targets, axis).flatten()
        weight = None
        if self.weight is not None:
            weight = torch.tensor(self.weight, dtype=logits.dtype, device=logits.device)
        each = functional.cross_entropy(
            logits.flatten(0, -2), labels, weight, reduction="none", ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )  # fmt: skip
        if self.weight is None and len(each) == len(targets):  # one position each: 0 where it does not count
            return each
        weights = self.weights(targets).to(each)
        return each.reshape(len(targets), -1).sum(dim=1) / weights.where(weights > 0, 1)

    def weights(self, targets: Tensor) -> Tensor:
        """The weight of each example, the sum over its positions (B,), float64."""
        if targets.is_floating_point():
            axis = self._axis(targets.shape, targets)
            positions = targets[0].numel() // targets.shape[axis]
            return torch.full((len(targets),), float(positions), dtype=torch.float64, device=targets.device)
        labels = targets.long().reshape(len(targets), -1)
        counted = labels != self.ignore_index
        if self.weight is None:
            return counted.sum(dim=1).double()
        of_class = torch.tensor(self.weight, dtype=torch.float64, device=labels.device)
        weights = (of_class[labels.where(counted, 0)] * counted).sum(dim=1)
        if self.label_smoothing and 0 in self.weight:
            # Torch's label smoothing adds a loss for these labels to the sum, but no weight.
            weights = weights.where((weights > 0) | ~counted.any(dim=1), NEXT_TO_NOTHING * of_class.max())
        return weights

    def labelled(self, outputs: Tensor, targets: Tensor) -> Labelled:
        axis = self._axis(outputs.shape[1:], targets)
        logits = outputs.movedim(axis, -1)
        if targets.is_floating_point():
            labels = targets.movedim(axis, -1).argmax(dim=-1)
            return Labelled(logits, labels, torch.ones_like(labels, dtype=torch.bool), axis)
        labels = read_labels(outputs.shape[1:], targets, axis)
        return Labelled(logits, labels, labels != self.ignore_index, axis)

    def settled(self, outputs: Any, targets: Any) -> CrossEntropy:
        twin = copy.copy(self)
        object.__setattr__(twin, "_settled", self._axis(outputs.shape, targets))
        return twin

    def check(self, outputs: Any, targets: Any, all_targets: Any) -> None:
        if not isinstance(targets, Tensor):
            raise BadInput(f"cross-entropy needs one tensor of targets; got {type(targets).__name__}")
        if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
            found = f"{outputs.dtype} numbers" if isinstance(outputs, Tensor) else type(outputs).__name__
            raise BadInput(f"cross-entropy needs one tensor of logits; the model returns {found}")
        of_labels = targets.ndim == outputs.ndim and targets.is_floating_point()
        if targets.is_complex() or targets.dtype is torch.bool or (targets.is_floating_point() and not of_labels):
            raise BadInput(
                f"cross-entropy needs integer labels; got {targets.dtype} of shape {tuple(targets.shape)}, convert "
                "them (.long()) or choose another loss"
            )
        axis = self._axis(outputs.shape, targets)
        classes = outputs.shape[axis]
        if classes < 2:
            raise BadInput(
                f"the model's output {tuple(outputs.shape)} has one logit per label; cross-entropy needs one for each "
                "class: give a loss of your own, of binary_cross_entropy_with_logits(..., reduction='none')"
            )
        if self.weight is not None and len(self.weight) != classes:
            raise BadInput(
                f"weight has {len(self.weight)} numbers and the model {classes} outputs; expected one for each"
            )
        if all_targets.is_floating_point():
            _check_probabilities(all_targets, axis)
        else:
            self._check_range(all_targets, classes)

    def _axis(self, outputs: torch.Size, targets: Tensor) -> int:
        """The class axis of the outputs (B, ...) of one network, counted from the end."""
        stated = self.class_axis if self.class_axis is not None else self._settled
        if not targets.is_floating_point():
            return find_class_axis(outputs, targets.shape, stated)
        if targets.shape != outputs:
            raise BadInput(
                f"the model's output {tuple(outputs)} does not fit probabilities {tuple(targets.shape)}; expected "
                "equal shapes, or integer labels"
            )
        if stated is not None:
            return count_from_the_end(outputs, stated)
        if len(outputs) == 2:
            return -1
        raise BadInput(
            f"probabilities {tuple(outputs)} do not tell their axis of classes; say which: "
            "CrossEntropy(class_axis=...), --loss.class_axis on the command line"
        )

    def _check_range(self, labels: Tensor, classes: int) -> None:
        labels = labels.long()  # torch finds no extremes of some narrow kinds
        counted = labels[labels != self.ignore_index]
        if not len(counted):
            return
        low, high = int(counted.min()), int(counted.max())
        if low < 0 or high >= classes:
            raise BadInput(
                f"labels run from {low} to {high}, but the model has {classes} outputs; expected labels in "
                f"0..{classes - 1}, or ignore_index ({self.ignore_index}) where none counts"
            )


def _checked_weights(weight: Any) -> tuple[float, ...]:
    """Class weights as plain numbers, checked."""
    values = tuple(float(value) for value in (weight.tolist() if hasattr(weight, "tolist") else weight))
    if not values or not all(math.isfinite(value) and value >= 0 for value in values) or not any(values):
        raise BadInput(f"weight is {values}; expected a finite number for each class, none below 0 and not all 0")
    return values


def _check_probabilities(targets: Tensor, axis: int) -> None:
    """Refuse targets that are not distributions, such as multi-label targets."""
    off = float((targets.double().sum(dim=axis) - 1).abs().max())
    if not off <= ROUNDING or float(targets.min()) < 0:
        raise BadInput(
            f"floating-point targets {tuple(targets.shape)} are probabilities of classes to cross-entropy, and these "
            "do not sum to 1; expected distributions, or integer labels"
        )
