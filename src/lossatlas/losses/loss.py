"""The interface of losses, and those that are a user's function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lossatlas.errors import BadInput, first_line
from lossatlas.registry import Registry, load_callable

__all__ = ["LOSSES", "BatchMean", "Loss", "PerExample", "load_loss", "name_of"]

LOSSES: Registry[type[Loss]] = Registry("loss", "lossatlas.losses.kinds")


class Loss(ABC):
    """A loss with one value per example, in nats where it is a log likelihood."""

    classifies: bool
    """Whether outputs are logits (B, ..., C) and targets class indices, so that accuracy has a meaning."""

    units: str
    """The unit of the loss, for plots: ``"nat"`` or ``"1"``."""

    per_example: bool = True
    """Whether the values are each example's own. If not, they are the mean of their batch: their mean over a split is
    right, but nothing that tells examples apart (a standard error, a clip per example) has a meaning."""

    takes_tensors: bool = False
    """Whether outputs must be one tensor, so that of a tuple only a part can be meant."""

    sees_network: bool = False
    """Whether it calls the network itself (:class:`NetworkLoss`) in place of being given outputs."""

    @property
    def record(self) -> str:
        """What a survey records of it: equal for equal losses."""
        return type(self).__name__

    @abstractmethod
    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """The losses (B,) of a batch."""

    def of_network(self, network: nn.Module, batch: Any) -> Tensor:
        """The losses (B,) of a network on a batch, of losses that call it themselves."""
        raise NotImplementedError

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

    @property
    def record(self) -> str:
        return f"{type(self).__name__}({name_of(self.function)})"

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        return self.function(outputs, targets)

    def check(self, outputs: Any, targets: Any, all_targets: Any) -> None:
        """Nothing is known of a user's function; the problem checks the shape of what it returns."""


class BatchMean(PerExample):
    """A function ``(outputs, targets) -> ()`` that returns the mean of a batch, such as a model's own loss.

    Every example of a batch gets the batch's mean, so that batches count by their numbers of examples in the mean over
    a split, and so do their gradients. That is the mean of all examples where the function is a mean over examples. One
    that is a mean over positions, of which examples have different numbers, depends on what is evaluated together:
    ``group`` as large as the split gives the function's own value.

    Args:
        function: returns one number per batch and uses torch operations only.
        units: for plots.
    """

    per_example = False

    def __init__(self, function: Callable[[Any, Any], Tensor], *, units: str = "1") -> None:
        super().__init__(function, units=units)

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        mean = self.function(outputs, targets)
        if mean.ndim:
            raise BadInput(f"a BatchMean's function returned shape {tuple(mean.shape)}; expected (), the batch's mean")
        examples = next(len(leaf) for leaf in tree_leaves((targets, outputs)) if isinstance(leaf, Tensor) and leaf.ndim)
        return mean.expand(examples)


def load_loss(spec: str) -> Loss:
    """The loss that ``module:callable`` names: a function ``(outputs, targets) -> (B,)``, a :class:`Loss` or its class.

    Raises:
        BadInput: there is no such callable, or it is a class that cannot be made without arguments.
    """
    found: Any = load_callable("loss", spec)
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:  # the user's own code may fail in any way
            raise BadInput(f"loss {spec!r} failed: {first_line(error)}") from error
        if not callable(found):
            raise BadInput(f"loss {spec!r} makes a {type(found).__name__}; expected a function or a lossatlas Loss")
    return found if isinstance(found, Loss) else PerExample(found)


def name_of(function: Callable[..., Any]) -> str:
    """Where a function is defined; of other callables their class."""
    named = function if hasattr(function, "__qualname__") else type(function)
    if isinstance(function, torch.nn.Module):
        named = type(function)
    return f"{named.__module__}.{named.__qualname__}"
