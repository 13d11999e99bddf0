"""Interfaces that the engine requires: functionals, which are differentiated, and metrics, which are accumulated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

from torch import Tensor
from torch.utils._pytree import tree_map

from lossatlas.describing import count_things, write_repr
from lossatlas.errors import BadInput
from lossatlas.losses import Labelled, Loss, split_terms, weigh_examples
from lossatlas.schema import Companion, Quantity
from lossatlas.types import Batch, Outputs

__all__ = ["Evaluation", "Folded", "Functional", "Metric", "StreamingMetric"]


class Functional(ABC):
    """A scalar function of the outputs and losses at P points, and of the points themselves."""

    coupled: bool
    """Whether the functional is not a sum over points. A sum is differentiated in one pass, chunk by chunk. For others
    the engine gathers outputs and losses of all points and pulls cotangents back in a second pass."""
    sees_outputs: bool = True
    """Whether :meth:`value` uses the outputs. A coupled functional that does not is not given them, which saves the
    memory of the outputs of all points."""
    geometric: bool
    """Whether :meth:`geometry` is not zero; if it is, the Gram matrix is not computed."""
    tangents: Tensor | None = None
    """The derivatives (Q, m, d) of the coefficients at Q points of a chart with d axes, whose Gram matrices
    :meth:`stretching` takes; None where the functional does not depend on them."""

    def see(self, loss: Loss, targets: Any) -> None:  # noqa: B027  # most functionals do without
        """Take note of the loss and of the batch's targets, before the values of this batch are computed."""

    @abstractmethod
    def value(self, outputs: Outputs, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        """The contribution of some points to the functional, a differentiable scalar.

        Args:
            outputs: (k, B, ...) at these points.
            losses: (k, B).
            shares: (B,), the share of each example in the mean loss of a point, ``losses @ shares`` (k,). They sum to
                one, or are all zero if the weights of the examples are.
            points: which of the P points these are; all of them if the functional is coupled.
        """

    @abstractmethod
    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        """The contribution of the positions of the points, such as weight decay; a differentiable scalar.

        Args:
            coefficients: (P, m), float64.
            gram: the Gram matrix of the controls, (m, m), float64; ``coefficients @ gram @ coefficients.T`` is that of
                the points.
        """

    def stretching(self, grams: Tensor) -> Tensor:
        """The contribution of how the chart stretches weight space, a differentiable scalar; by default 0.

        Args:
            grams: (Q, d, d), float64, the Gram matrices of the vectors ``tangents[q].T @ controls`` along the axes.
        """
        return grams.new_zeros(())


class Metric(ABC):
    """One or several numbers at every point: streaming, or of derivatives (:class:`lossatlas.OperatorMetric`).

    Its values are computed from ``found``: a :class:`Folded` for streaming metrics, else the result of a computation.
    """

    companions: ClassVar[tuple[Companion, ...]] = ()
    """The companions that :meth:`companion` computes beside the values."""

    @classmethod
    def of(cls, argument: str) -> Self:
        """Make the metric with the argument after the colon of its name.

        Raises:
            BadInput: the metric takes no argument, or the argument is not valid.
        """
        raise BadInput(f"this metric takes no argument; leave out ':{argument}'")

    @abstractmethod
    def applies(self, loss: Loss) -> bool:
        """Whether the metric is defined under this loss."""

    @abstractmethod
    def quantity(self, loss: Loss) -> Quantity:
        """Name and unit under this loss, and the dimension of the values at a point if there are several."""

    def length(self, evaluation: Evaluation) -> int:
        """The number of values at a point, for a metric whose quantity has a dimension.

        Args:
            evaluation: the outputs and losses of one network on a few examples.
        """
        raise NotImplementedError(f"{type(self).__name__} has a dimension, and does not say how long it is")

    @abstractmethod
    def value(self, found: Any) -> Tensor:
        """The metric at p points, (p,), or (p, k) if it has k values at each."""

    def companion(self, companion: Companion, found: Any) -> Tensor:
        """The values of one of the :attr:`companions`, of the shape of :meth:`value`."""
        raise NotImplementedError(f"{type(self).__name__} has companions, and does not say what they are")


@dataclass(frozen=True)
class Evaluation:
    """The results of p networks on one batch of B examples.

    >>> import torch, lossatlas as la
    >>> inputs, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    >>> logits = torch.randn(2, 5, 3)  # of two networks
    >>> losses = torch.stack([torch.nn.functional.cross_entropy(one, labels, reduction="none") for one in logits])
    >>> evaluation = la.Evaluation.of(logits, losses, labels, (inputs, labels), la.CrossEntropy())
    >>> evaluation.losses.shape, evaluation.weights.shape
    (torch.Size([2, 5]), torch.Size([5]))
    """

    outputs: Outputs
    """The outputs, (p, B, ...)."""
    losses: Tensor
    """The losses, (p, B)."""
    targets: Any
    """The targets of the batch, shared by all points."""
    batch: Batch
    """The batch, shared by all points."""
    loss: Loss
    """The loss function, which also weighs examples."""
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    """The terms (p, B) by name, of a loss that has several."""

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        networks, examples = self.losses.shape
        return f"{count_things(networks, 'network')} on {count_things(examples, 'example')}, {self.loss!r}"

    @classmethod
    def of(cls, outputs: Outputs, losses: Tensor, targets: Any, batch: Batch, loss: Loss) -> Self:
        """Make an evaluation of outputs (p, B, ...), which may have the terms of the loss beside them."""
        plain, terms = split_terms(outputs)
        return cls(plain, losses, targets, batch, loss, terms)

    @classmethod
    def of_one(cls, outputs: Outputs, losses: Tensor, targets: Any, batch: Batch, loss: Loss) -> Self:
        """Make an evaluation of a single network from its outputs (B, ...) and losses (B,)."""
        stacked = tree_map(lambda leaf: leaf.detach()[None] if isinstance(leaf, Tensor) else leaf, outputs)
        return cls.of(stacked, losses.detach()[None], targets, batch, loss)

    @cached_property
    def weights(self) -> Tensor:
        """The weight of each example in the mean loss, (B,), float64."""
        return weigh_examples(self.loss, self.targets, self.losses)

    @cached_property
    def labelled(self) -> Labelled:
        """The outputs as logits with the classes last, and labels; under losses that classify."""
        return self.loss.labelled(self.outputs, self.targets)

    @cached_property
    def positions(self) -> Tensor:
        """The number of positions of each example whose label counts, (B,), float64; under losses that classify."""
        counted = self.labelled.counted
        return counted.reshape(len(counted), -1).sum(dim=1).double()


@dataclass(frozen=True)
class Folded:
    """The sums of a metric over all examples at p points."""

    sums: Tensor
    """The sums, (p, ...), float64."""
    examples: int
    """The number of examples."""
    population: float
    """The number of examples from which they were sampled without replacement; equal if they are all, infinite if they
    stand for examples that nobody has seen."""
    squared_norms: Callable[[], Tensor]
    """Computes the squared norms (p,) of the points' weight vectors, float64."""


class StreamingMetric(Metric):
    """A metric that is accumulated over the outputs and losses of batches."""

    @abstractmethod
    def sums(self, evaluation: Evaluation) -> Tensor:
        """The sums (p, ...) over the examples of a batch, which are added over batches in float64."""

    @abstractmethod
    def value(self, folded: Folded) -> Tensor:
        """The metric (p,), or (p, k), from its sums."""
