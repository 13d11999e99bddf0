"""Cross-entropy of logits and class indices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lossatlas.errors import BadInput
from lossatlas.losses.loss import Loss

__all__ = ["CrossEntropy"]


class CrossEntropy(Loss):
    """-log softmax(logits)[label] in nats; logits (B, ..., C), labels (B, ...), mean over inner positions.

    Positions whose label is ``ignore_index`` do not count: the mean of an example is over its other positions, and an
    example without any has the loss 0. Examples count alike, however many positions of theirs count.

    Args:
        ignore_index: the label of padding, negative; -100 as everywhere in torch.

    Raises:
        BadInput: it could be a class.
    """

    classifies = True
    units = "nat"
    takes_tensors = True

    def __init__(self, ignore_index: int = -100) -> None:
        if ignore_index >= 0:
            raise BadInput(f"ignore_index is {ignore_index}, which is a class; mark padding by a negative label")
        self.ignore_index = ignore_index

    @property
    def record(self) -> str:
        return "CrossEntropy" if self.ignore_index == -100 else f"CrossEntropy(ignore_index={self.ignore_index})"

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        batch, classes = outputs.shape[0], outputs.shape[-1]
        losses = functional.cross_entropy(
            outputs.reshape(-1, classes), targets.reshape(-1), reduction="none", ignore_index=self.ignore_index
        )
        counted = (targets != self.ignore_index).reshape(batch, -1).sum(dim=1)
        means: Tensor = losses.view(batch, -1).sum(dim=1) / counted.clamp(min=1)
        return means

    def check(self, outputs: Any, targets: Any, all_targets: Any) -> None:
        if not isinstance(targets, Tensor):
            raise BadInput(f"cross-entropy needs one tensor of targets; got {type(targets).__name__}")
        if not isinstance(outputs, Tensor) or not outputs.is_floating_point() or outputs.shape[:-1] != targets.shape:
            found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise BadInput(
                f"the model's output {found} does not fit cross-entropy with labels {tuple(targets.shape)}; "
                f"expected logits {(*targets.shape, 'classes')}"
            )
        if all_targets.is_floating_point() or all_targets.dtype is torch.bool:
            raise BadInput(f"cross-entropy needs integer labels; got {all_targets.dtype}")
        counted = all_targets[all_targets != self.ignore_index]
        if not len(counted):
            raise BadInput(f"all labels are {self.ignore_index}, which marks padding; expected some that count")
        low, high = int(counted.min()), int(counted.max())
        if low < 0 or high >= outputs.shape[-1]:
            raise BadInput(
                f"labels run from {low} to {high}, but the model has {outputs.shape[-1]} outputs; "
                f"expected labels in 0..{outputs.shape[-1] - 1}"
            )
