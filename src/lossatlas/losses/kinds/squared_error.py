"""The squared error of predictions and targets."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.losses.loss import Loss

__all__ = ["SquaredError"]


class SquaredError(Loss):
    """``(prediction - target)^2``, averaged over all but the first axis; both are (B, ...).

    Raises:
        BadInput: shapes differ, or targets are not floating-point numbers.

    Example:
        >>> import torch, lossatlas as la
        >>> la.SquaredError()(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        tensor([2., 1.])
    """

    classifies = False
    takes_tensors = True
    units = "1"

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        _check_shapes(outputs, targets)  # of every batch: (B,) and (B, 1) would make (B, B)
        squares: Tensor = (outputs - targets).square()
        return squares.reshape(squares.shape[0], -1).mean(dim=1)

    def check(self, outputs: Any, targets: Any, all_targets: Any) -> None:
        if not isinstance(targets, Tensor):
            raise BadInput(f"squared error needs one tensor of targets; got {type(targets).__name__}")
        _check_shapes(outputs, targets)
        if not all_targets.is_floating_point():
            raise BadInput(f"squared error needs floating-point targets; got {all_targets.dtype}")


def _check_shapes(outputs: Any, targets: Tensor) -> None:
    if not isinstance(outputs, Tensor) or outputs.shape != targets.shape:
        found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise BadInput(
            f"the model's output {found} does not fit squared error with targets {tuple(targets.shape)}; "
            "expected equal shapes"
        )
