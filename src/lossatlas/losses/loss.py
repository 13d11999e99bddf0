"""The interface of losses, and losses made of a user's function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lossatlas.errors import BadInput, format_error, make_unknown_error
from lossatlas.losses.labelled import Labelled, find_class_axis, read_labels
from lossatlas.losses.terms import check_factors, sum_terms
from lossatlas.registry import Registry, load_callable
from lossatlas.users_code import call_user_code

__all__ = [
    "AUTO",
    "LOSSES",
    "BatchMean",
    "Loss",
    "PerExample",
    "find_loss_options",
    "load_loss",
    "name_loss",
    "write_terms",
]

LOSSES: Registry[type[Loss]] = Registry("loss", "lossatlas.losses.kinds")
AUTO: Final = "auto"
"""As a name: the default loss for the targets."""


class Loss(ABC):
    """A loss with one value per example, in nats where it is a negative log-likelihood.

    The mean over any set of examples is the ratio of sums ``sum_i w_i l_i / sum_i w_i`` with losses l and weights w
    (:meth:`weights`).
    """

    classifies: bool
    """Whether outputs are logits (B, ..., C) and targets class indices, so that accuracy is defined."""

    units: str
    """The unit of the loss, for plots: ``"nat"``, or ``"1"`` where it has none."""

    per_example: bool = True
    """Whether the values are those of single examples. If not, each is the mean of its batch: the mean over a split is
    correct, but whatever needs single examples (a standard error, a clip per example) is not defined."""

    takes_tensors: bool = False
    """Whether outputs have to be one tensor, so that a feed chooses a part of a tuple."""

    terms: Mapping[str, float] = MappingProxyType({})
    """The factor of each term of a loss that is a sum of several; see :meth:`of_terms`."""

    sees_network: bool = False
    """Whether the loss calls the network itself (:class:`NetworkLoss`) and is not given outputs."""

    @property
    def record(self) -> str:
        """A description of the loss that surveys record; equal losses have equal descriptions."""
        return type(self).__name__

    def __repr__(self) -> str:
        try:
            return self.record
        except Exception:  # it is not made yet
            return f"{type(self).__name__}(incomplete)"

    @abstractmethod
    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """The losses (B,) of a batch, finite for examples of weight zero, too."""

    def of_terms(self, outputs: Any, targets: Any) -> Mapping[str, Tensor]:
        """The terms (B,) by name, without their factors, for a loss that has several."""
        raise NotImplementedError

    def weights(self, targets: Any) -> Tensor | None:
        """The weight of each example of a batch (B,), finite and not negative; None for equal weights."""
        return None

    def labelled(self, outputs: Any, targets: Any) -> Labelled:
        """The outputs (p, B, ...) of p networks as logits with the classes last, and the positions that count.

        Only for losses that classify. By default the last axis is the class axis, and negative labels do not count.

        Raises:
            BadInput: the outputs and targets are not logits and labels of matching shapes.
        """
        if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor) or targets.is_floating_point():
            raise BadInput(
                f"accuracies under {self.record} need a tensor of logits (B, ..., C) and one of integer labels"
            )
        axis = find_class_axis(outputs.shape[1:], targets.shape, -1)
        labels = read_labels(outputs.shape[1:], targets, axis)
        return Labelled(outputs, labels, labels >= 0, axis)

    def settled(self, outputs: Any, targets: Any) -> Loss:
        """The loss with open options, such as the class axis, decided from the outputs and targets (B, ...) of a batch.

        The decision then holds for later batches of other shapes, too.

        Raises:
            BadInput: the batch leaves an option open.
        """
        return self

    def of_network(self, network: nn.Module, batch: Any) -> Any:
        """The losses (B,) of a network on a batch, or their terms by name, for a loss that calls the network."""
        raise NotImplementedError

    @abstractmethod
    def check(self, outputs: Any, targets: Any, all_targets: Any) -> None:
        """Refuse outputs and targets that do not fit each other.

        Args:
            outputs: the outputs of the module on a small batch.
            targets: the targets of that batch.
            all_targets: the targets of a split or of a part of it, whose range is checked.

        Raises:
            BadInput: shapes do not fit, or a label lies outside the outputs.
        """


class PerExample(Loss):
    """A function ``(outputs, targets) -> (B,)`` as a loss, such as ``cross_entropy(..., reduction="none")``.

    Args:
        function: returns one loss per example, using torch operations only.
        weights: ``targets -> (B,)``, the weight of each example, 0 or more: the mean over a split is
            ``sum(weights * losses) / sum(weights)``. By default all are equal. An example of weight 0 needs a finite
            loss, too.
        terms: the factor of each term, for a function that returns a mapping of terms, ``{"data": (B,), "slope":
            (B,)}``: the loss is the sum of the terms with these factors, and surveys measure each term, too, as
            ``<split>_loss_<term>``.
        classifies: whether outputs are logits (B, ..., C) and targets class indices; negative indices do not count in
            accuracies.
        units: the unit of the loss, for plots.
    """

    def __init__(
        self,
        function: Callable[[Any, Any], Any],
        *,
        weights: Callable[[Any], Tensor] | None = None,
        terms: Mapping[str, float] | None = None,
        classifies: bool = False,
        units: str = "1",
    ) -> None:
        self.function = function
        self.terms = check_factors(terms)
        self.weigh = weights
        self.classifies = classifies
        self.units = units

    @property
    def record(self) -> str:
        weighed = f", weights={name_loss(self.weigh)}" if self.weigh is not None else ""
        return f"{type(self).__name__}({name_loss(self.function)}{weighed}{write_terms(self.terms)})"

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        if self.terms:
            return sum_terms(self.of_terms(outputs, targets), self.terms)[0]
        losses: Tensor = self.function(outputs, targets)
        return losses

    def of_terms(self, outputs: Any, targets: Any) -> Mapping[str, Tensor]:
        terms: Mapping[str, Tensor] = self.function(outputs, targets)
        return terms

    def weights(self, targets: Any) -> Tensor | None:
        return None if self.weigh is None else self.weigh(targets)

    def check(self, outputs: Any, targets: Any, all_targets: Any) -> None:
        """Do nothing, since a user's function has no known requirements; the network checks the shape of its result."""


class BatchMean(PerExample):
    """A function ``(outputs, targets) -> ()`` that returns the mean of a batch, such as a model's own loss.

    Every example of a batch gets the mean of the batch, so that in the mean over a split, and in its gradients, the
    weight of a batch is the sum of the weights of its examples. Without ``weights`` that is the mean over all examples
    if the function is a mean over examples. A mean over positions, of which examples have different numbers, then
    depends on how examples are batched, and a warning says so. With the numbers of positions as weights it is the mean
    over all positions: for a causal language model ``weights=lambda labels: (labels != -100).sum(dim=1)``.

    Args:
        function: returns one number per batch, using torch operations only.
        weights: ``targets -> (B,)``, the weight of each example in the mean of its batch, 0 or more; default equal
            weights. The function is not called on batches whose weights sum to zero.
        units: the unit of the loss, for plots.
    """

    per_example = False

    def __init__(
        self,
        function: Callable[[Any, Any], Any],
        *,
        weights: Callable[[Any], Tensor] | None = None,
        units: str = "1",
    ) -> None:
        super().__init__(function, weights=weights, units=units)

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        examples = next(len(leaf) for leaf in tree_leaves((targets, outputs)) if isinstance(leaf, Tensor) and leaf.ndim)
        weights = self.weights(targets)
        if weights is not None and not bool(weights.sum() > 0):  # a mean over nothing is NaN, and so is its gradient
            return next(leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)).new_zeros(examples)
        mean = self.function(outputs, targets)
        if mean.ndim:
            raise BadInput(f"a BatchMean's function returned shape {tuple(mean.shape)}; expected (), the batch's mean")
        expanded: Tensor = mean.expand(examples)
        return expanded


def find_loss_options(name: str) -> type[Loss] | None:
    """Find the dataclass of a loss's options; None where it has none, or the loss is not known yet (``auto``).

    Raises:
        BadInput: there is no loss of this name.
    """
    if name == AUTO or ":" in name:
        return None
    if name not in LOSSES:
        raise make_unknown_error("loss", name, [AUTO, *LOSSES, "module:callable"])
    return LOSSES[name] if is_dataclass(LOSSES[name]) else None


def load_loss(spec: str) -> Loss:
    """Load the loss that ``module:callable`` names.

    That is a function ``(outputs, targets) -> (B,)``, a :class:`Loss`, or a class of losses.

    Raises:
        BadInput: there is no such callable, or it is a class that cannot be called without arguments.
    """
    found: Any = load_callable("loss", spec)
    if isinstance(found, type):
        try:
            found = call_user_code(found)
        except Exception as error:  # the user's own code may fail in any way
            raise BadInput(f"loss {spec!r} failed: {format_error(error)}") from error
        if not callable(found):
            raise BadInput(f"loss {spec!r} makes a {type(found).__name__}; expected a function or a lossatlas Loss")
    return found if isinstance(found, Loss) else PerExample(found)


def name_loss(function: Callable[..., Any]) -> str:
    """Write the qualified name of a function, or of the class of another callable."""
    named = function if hasattr(function, "__qualname__") else type(function)
    if isinstance(function, torch.nn.Module):
        named = type(function)
    return f"{named.__module__}.{named.__qualname__}"


def write_terms(terms: Mapping[str, float]) -> str:
    """Write the factors of terms for a record; empty where there are none."""
    return f", terms={', '.join(f'{factor:g} {name}' for name, factor in terms.items())}" if terms else ""
