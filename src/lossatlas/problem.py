"""A problem: a module, a per-example loss, and how a batch is handed to the module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from lossatlas.describing import count_things, write_repr
from lossatlas.feeds import Feed, Pair
from lossatlas.losses import Loss, PerExample

__all__ = ["Problem"]


class Problem:
    """What is evaluated at a point of weight space.

    Args:
        module: any ``torch.nn.Module``, in whatever mode: it is evaluated in evaluation mode. It is read and copied,
            never changed: not its parameters, buffers, mode, device or ``requires_grad``, whatever happens on the way.
            (A :class:`~lossatlas.Training` trains it in place.)
        loss: a :class:`~lossatlas.losses.Loss`, or a function ``(outputs, targets) -> (B,)``; one that returns the
            mean of a batch is a :class:`~lossatlas.losses.BatchMean`.
        feed: how a batch is handed over: a :class:`Pair` (the default) for ``(inputs, targets)``, a :class:`Dict` for
            mappings, or a :class:`Feed` of your own for anything else.
    """

    def __init__(self, module: nn.Module, loss: Loss | Callable[[Any, Any], Tensor], feed: Feed | None = None) -> None:
        self.module = module
        self.loss = loss if isinstance(loss, Loss) else PerExample(loss)
        self.feed = (feed if feed is not None else Pair()).of(module, self.loss)

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        weights = count_things(sum(parameter.numel() for parameter in self.module.parameters()), "weight")
        return f"{type(self.module).__name__} of {weights}, {self.loss!r}, {type(self.feed).__name__}"
