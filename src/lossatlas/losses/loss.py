"""The interface of losses, and those that are a user's function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lossatlas.errors import BadInput, in_one_line, unknown
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
"""As a name: the loss that follows from the targets."""


class Loss(ABC):
    """A loss with one value per example, in nats where it is a log likelihood.

    The mean over any set of examples is the ratio of sums ``sum_i w_i l_i / sum_i w_i`` of their losses l and what they
    count, w (:meth:`weights`).
    """

    classifies: bool
    """Whether outputs are logits (B, ..., C) and targets class indices, so that accuracy has a meaning."""

    units: str
    """The unit of the loss, for plots: ``"nat"`` or ``"1"``."""

    per_example: bool = True
    """Whether the values are each example's own. If not, they are the mean of their batch: their mean over a split is
    right, but nothing that tells examples apart (a standard error, a clip per example) has a meaning."""

    takes_tensors: bool = False
    """Whether outputs must be one tensor, so that of a tuple only a part can be meant."""

    terms: Mapping[str, float] = MappingProxyType({})
    """The factors of its terms in their sum, of a loss that has several; see :meth:`of_terms`."""

    sees_network: bool = False
    """Whether it calls the network itself (:class:`NetworkLoss`) in place of being given outputs."""

    @property
    def record(self) -> str:
        """What a survey records of it: equal for equal losses."""
        return type(self).__name__

    def __repr__(self) -> str:
        try:
            return self.record
        except Exception:  # it is not made yet
            return f"{type(self).__name__}(incomplete)"

    @abstractmethod
    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """The losses (B,) of a batch; finite also for examples that count nothing."""

    def of_terms(self, outputs: Any, targets: Any) -> Mapping[str, Tensor]:
        """Each term (B,) by name, without its factor, of losses that have several."""
        raise NotImplementedError

    def weights(self, targets: Any) -> Tensor | None:
        """What each example of a batch counts (B,), finite and not negative; None: all alike."""
        return None

    def labelled(self, outputs: Any, targets: Any) -> Labelled:
        """Outputs (p, B, ...) of p networks as logits with the classes last, and which positions have a label to count.

        Of losses that classify alone. By default the classes lie along the last axis, and negative labels do not count.

        Raises:
            BadInput: outputs and targets are not logits and labels that fit.
        """
        if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor) or targets.is_floating_point():
            raise BadInput(
                f"accuracies under {self.record} need a tensor of logits (B, ..., C) and one of integer labels"
            )
        axis = find_class_axis(outputs.shape[1:], targets.shape, -1)
        labels = read_labels(outputs.shape[1:], targets, axis)
        return Labelled(outputs, labels, labels >= 0, axis)

    def settled(self, outputs: Any, targets: Any) -> Loss:
        """The same loss with what it leaves open, such as an axis, decided by outputs and targets (B, ...) of a batch.

        Later batches of other shapes are then understood in the same way.

        Raises:
            BadInput: they leave it open.
        """
        return self

    def of_network(self, network: nn.Module, batch: Any) -> Any:
        """The losses (B,) of a network on a batch, or a mapping of its terms, of losses that call it themselves."""
        raise NotImplementedError

    @abstractmethod
    def check(self, outputs: Any, targets: Any, all_targets: Any) -> None:
        """Refuse outputs and targets that do not belong together.

        Args:
            outputs: the module's, for a small batch.
            targets: that batch's.
            all_targets: those of the whole split or of any part of it, for checks of range.

        Raises:
            BadInput: shapes do not fit, or a label lies outside the outputs.
        """


class PerExample(Loss):
    """A function ``(outputs, targets) -> (B,)`` of your own as a loss, say ``cross_entropy(..., reduction="none")``.

    Args:
        function: returns one loss per example and uses torch operations only.
        weights: ``targets -> (B,)``, what each example counts, 0 or more: the mean over a split is
            ``sum(weights * losses) / sum(weights)``. By default all count alike. An example that counts 0 still needs a
            finite loss.
        terms: the factor of each term of a function that returns several as a mapping, ``{"data": (B,), "slope":
            (B,)}``: the loss is their sum with these factors, and each is surveyed beside it, ``<split>_loss_<term>``.
        classifies: whether outputs are logits (B, ..., C) and targets class indices; negative ones do not count in
            accuracies.
        units: for plots.
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
        """Nothing is known of a user's function; the problem checks the shape of what it returns."""


class BatchMean(PerExample):
    """A function ``(outputs, targets) -> ()`` that returns the mean of a batch, such as a model's own loss.

    Every example of a batch gets the batch's mean, so that in the mean over a split, and in its gradients, batches
    count by what their examples count together. Without ``weights`` that is the mean of all examples where the function
    is a mean over examples; one over positions, of which examples have different numbers, depends on what is evaluated
    together, of which a warning tells. With the numbers of positions as weights it is the mean over all positions,
    however they are grouped: for a causal language model ``weights=lambda labels: (labels != -100).sum(dim=1)``.

    Args:
        function: returns one number per batch and uses torch operations only.
        weights: ``targets -> (B,)``, what each example counts in its batch's mean, 0 or more; default all alike. The
            function is not called on batches in which nothing counts.
        units: for plots.
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
    """The dataclass of a loss's options; None where it has none, or what it is is not known yet (``auto``).

    Raises:
        BadInput: no loss has the name.
    """
    if name == AUTO or ":" in name:
        return None
    if name not in LOSSES:
        raise unknown("loss", name, [AUTO, *LOSSES, "module:callable"])
    return LOSSES[name] if is_dataclass(LOSSES[name]) else None


def load_loss(spec: str) -> Loss:
    """The loss that ``module:callable`` names: a function ``(outputs, targets) -> (B,)``, a :class:`Loss` or its class.

    Raises:
        BadInput: there is no such callable, or it is a class that cannot be made without arguments.
    """
    found: Any = load_callable("loss", spec)
    if isinstance(found, type):
        try:
            found = call_user_code(found)
        except Exception as error:  # the user's own code may fail in any way
            raise BadInput(f"loss {spec!r} failed: {in_one_line(error)}") from error
        if not callable(found):
            raise BadInput(f"loss {spec!r} makes a {type(found).__name__}; expected a function or a lossatlas Loss")
    return found if isinstance(found, Loss) else PerExample(found)


def name_loss(function: Callable[..., Any]) -> str:
    """Where a function is defined; of other callables their class."""
    named = function if hasattr(function, "__qualname__") else type(function)
    if isinstance(function, torch.nn.Module):
        named = type(function)
    return f"{named.__module__}.{named.__qualname__}"


def write_terms(terms: Mapping[str, float]) -> str:
    """The factors of terms as they stand in a record; nothing where there are none."""
    return f", terms={', '.join(f'{factor:g} {name}' for name, factor in terms.items())}" if terms else ""
