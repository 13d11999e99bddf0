"""A problem: a module, a per-example loss, and how a batch is handed to the module."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from lossatlas.losses import Loss, PerExample
from lossatlas.types import Batch

__all__ = ["Dict", "Feed", "Pair", "Problem"]


class Feed(ABC):
    """How a batch is handed to the module and its output to the loss."""

    @abstractmethod
    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The module's positional and keyword arguments."""

    @abstractmethod
    def output(self, returned: Any) -> Any:
        """What the loss sees of the module's return value."""

    @abstractmethod
    def targets(self, batch: Batch) -> Any:
        """What the loss compares with."""


class Pair(Feed):
    """Batches ``(inputs, targets)``: the module is called with the inputs alone."""

    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (batch[0],), {}

    def output(self, returned: Any) -> Any:
        return returned

    def targets(self, batch: Batch) -> Any:
        return batch[1]


class Dict(Feed):
    """Batches that are dicts: the module is called with every entry but the targets as keyword arguments.

    Args:
        targets: the key of the targets.
        output: the key of the module's output that the loss sees; None: all of it.
    """

    def __init__(self, targets: str = "labels", output: str | None = None) -> None:
        self.target_key = targets
        self.output_key = output

    def inputs(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (), {key: value for key, value in batch.items() if key != self.target_key}

    def output(self, returned: Any) -> Any:
        return returned if self.output_key is None else returned[self.output_key]

    def targets(self, batch: Batch) -> Any:
        return batch[self.target_key]


class Problem:
    """What is evaluated at a point of weight space.

    Args:
        module: any ``torch.nn.Module``. It is read and copied, never changed: not its parameters, buffers, mode,
            device or ``requires_grad``. (A :class:`~lossatlas.Training` trains it in place.)
        loss: a :class:`~lossatlas.losses.Loss`, or a function ``(outputs, targets) -> (B,)``.
        feed: how a batch is handed over; default ``(inputs, targets)`` pairs.
    """

    def __init__(self, module: nn.Module, loss: Loss | Callable[[Any, Any], Tensor], feed: Feed | None = None) -> None:
        self.module = module
        self.loss = loss if isinstance(loss, Loss) else PerExample(loss)
        self.feed = feed if feed is not None else Pair()
