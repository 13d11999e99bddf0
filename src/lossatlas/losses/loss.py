"""The interface of losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor

from lossatlas.registry import Registry

__all__ = ["LOSSES", "Loss", "PerExample"]

LOSSES: Registry[type[Loss]] = Registry("loss", "lossatlas.losses.kinds")


class Loss(ABC):
    """A loss with one value per example, in nats where it is a log likelihood."""

    classifies: bool
    """Whether outputs are logits (B, ..., C) and targets class indices, so that accuracy has a meaning."""

    units: str
    """The unit of the loss, for plots: ``"nat"`` or ``"1"``."""

    @abstractmethod
    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """The losses (B,) of a batch."""

    @abstractmethod
    def check(self, outputs: Any, targets: Any, all_targets: Any) -> None:
        """Refuse outputs and targets that do not belong together.

        Args:
            outputs: the module's, for a small batch.
            targets: that batch's.
            all_targets: those of the whole split, for checks of range.

        Raises:
            BadInput: shapes do not fit, or a label lies outside the outputs.
        """


class PerExample(Loss):
    """A function ``(outputs, targets) -> (B,)`` of your own as a loss, say ``cross_entropy(..., reduction="none")``.

    Args:
        function: returns one loss per example and uses torch operations only.
        classifies: whether outputs are logits (B, ..., C) and targets class indices.
        units: for plots.
    """

    def __init__(self, function: Callable[[Any, Any], Tensor], *, classifies: bool = False, units: str = "1") -> None:
        self.function = function
        self.classifies = classifies
        self.units = units

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        return self.function(outputs, targets)

    def check(self, outputs: Any, targets: Any, all_targets: Any) -> None:
        """Nothing is known of a user's function; the problem checks the shape of what it returns."""
