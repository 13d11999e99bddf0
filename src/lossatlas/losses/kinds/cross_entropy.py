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
    """-log softmax(logits)[label] in nats; logits (B, ..., C), labels (B, ...), mean over inner positions."""

    classifies = True
    units = "nat"

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        batch, classes = outputs.shape[0], outputs.shape[-1]
        losses = functional.cross_entropy(outputs.reshape(-1, classes), targets.reshape(-1), reduction="none")
        return losses.view(batch, -1).mean(dim=1)

    def check(self, outputs: Any, targets: Any, all_targets: Any) -> None:
        if not isinstance(outputs, Tensor) or not outputs.is_floating_point() or outputs.shape[:-1] != targets.shape:
            found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise BadInput(
                f"the model's output {found} does not fit cross-entropy with labels {tuple(targets.shape)}; "
                f"expected logits {(*targets.shape, 'classes')}"
            )
        if all_targets.is_floating_point() or all_targets.dtype is torch.bool:
            raise BadInput(f"cross-entropy needs integer labels; got {all_targets.dtype}")
        low, high = int(all_targets.min()), int(all_targets.max())
        if low < 0 or high >= outputs.shape[-1]:
            raise BadInput(
                f"labels run from {low} to {high}, but the model has {outputs.shape[-1]} outputs; "
                f"expected labels in 0..{outputs.shape[-1] - 1}"
            )
