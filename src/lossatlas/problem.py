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
        module: any ``torch.nn.Module``, in any mode: copies of it are evaluated in evaluation mode. Its parameters,
            buffers, mode, device and ``requires_grad`` are never changed. (A :class:`~lossatlas.Training` trains it
            in place.)
        loss: a :class:`~lossatlas.losses.Loss`, or a function ``(outputs, targets) -> (B,)``. Wrap a function that
            returns the mean of a batch as :class:`~lossatlas.losses.BatchMean`.
        feed: how a batch is passed to the module: a :class:`Pair` (the default) for ``(inputs, targets)``, a
            :class:`Dict` for mappings, or a :class:`Feed` of your own for anything else.

    Example:
        >>> import lossatlas as la
        >>> problem = la.Problem(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), la.CrossEntropy())
        >>> problem.loss.units
        'nat'
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
