"""What the engine asks of those above it: functionals to pull back, and metrics to fold."""

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
    """A number made of the outputs and losses at P points, and of the points themselves."""

    coupled: bool
    """False: a sum over points, so that one pass chunk by chunk gives the gradient. True: the engine first gathers
    the outputs and losses of all points, then pulls the functional's cotangents back in a second pass."""
    sees_outputs: bool = True
    """Whether :meth:`value` makes anything of the outputs; those that are coupled and say no get none, which saves
    the memory of all points' outputs."""
    geometric: bool
    """Whether :meth:`geometry` adds anything; the engine does not form the Gram matrix for those that say no."""

    @abstractmethod
    def value(self, outputs: Outputs, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        """The share of some points in the functional, a differentiable scalar.

        Args:
            outputs: (k, B, ...) at these points.
            losses: (k, B).
            shares: (B,), what each example counts in the mean loss of a point, ``losses @ shares`` (k,): they sum to
                one, or are all zero where nothing in the batch counts.
            points: which of the P points these are; all of them where the functional is coupled.
        """

    @abstractmethod
    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        """What the points add by where they lie: lengths, weight decay; a differentiable scalar.

        Args:
            coefficients: (P, m), float64.
            gram: (m, m), float64, the scalar products of the controls: ``coefficients @ gram @ coefficients.T`` are
                those of the points.
        """


class Metric(ABC):
    """A number at every point, or several: streaming, or of derivatives (:class:`lossatlas.metrics.OperatorMetric`).

    What it is made of, ``found`` below, is a :class:`Folded` or what a computation came to.
    """

    companions: ClassVar[tuple[Companion, ...]] = ()
    """What :meth:`companion` gives beside the values."""

    @classmethod
    def of(cls, argument: str) -> Self:
        """The metric with what stands after the colon of its name.

        Raises:
            BadInput: it takes no argument, or another one.
        """
        raise BadInput(f"this metric takes no argument; leave out ':{argument}'")

    @abstractmethod
    def applies(self, loss: Loss) -> bool:
        """Whether the metric has a meaning under this loss."""

    @abstractmethod
    def quantity(self, loss: Loss) -> Quantity:
        """Name and unit under this loss, and the dimension of the values at a point where there are several."""

    def length(self, evaluation: Evaluation) -> int:
        """How many values there are at a point; asked for where the quantity has a dimension.

        Args:
            evaluation: what one network made of a few examples.
        """
        raise NotImplementedError(f"{type(self).__name__} has a dimension, and does not say how long it is")

    @abstractmethod
    def value(self, found: Any) -> Tensor:
        """The metric (p,) at p points, or (p, k) where it has k values at each."""

    def companion(self, companion: Companion, found: Any) -> Tensor:
        """One of :attr:`companions`, of the shape of :meth:`value`."""
        raise NotImplementedError(f"{type(self).__name__} has companions, and does not say what they are")


@dataclass(frozen=True)
class Evaluation:
    """What p networks made of one batch of B examples."""

    outputs: Outputs
    """(p, B, ...)."""
    losses: Tensor
    """(p, B)."""
    targets: Any
    """The batch's, shared by all points."""
    batch: Batch
    """Itself, shared by all points."""
    loss: Loss
    """That made the losses, and says what counts."""
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    """By name (p, B), of a loss of several terms."""

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        networks, examples = self.losses.shape
        return f"{count_things(networks, 'network')} on {count_things(examples, 'example')}, {self.loss!r}"

    @classmethod
    def of(cls, outputs: Outputs, losses: Tensor, targets: Any, batch: Batch, loss: Loss) -> Self:
        """What p networks made of a batch: outputs (p, B, ...), which may have the terms of the loss beside them."""
        plain, terms = split_terms(outputs)
        return cls(plain, losses, targets, batch, loss, terms)

    @classmethod
    def of_one(cls, outputs: Outputs, losses: Tensor, targets: Any, batch: Batch, loss: Loss) -> Self:
        """What a single network made of a batch, from its outputs (B, ...) and losses (B,)."""
        stacked = tree_map(lambda leaf: leaf.detach()[None] if isinstance(leaf, Tensor) else leaf, outputs)
        return cls.of(stacked, losses.detach()[None], targets, batch, loss)

    @cached_property
    def weights(self) -> Tensor:
        """What each example counts in the mean loss (B,), float64."""
        return weigh_examples(self.loss, self.targets, self.losses)

    @cached_property
    def labelled(self) -> Labelled:
        """The outputs as logits with the classes last, under losses that classify."""
        return self.loss.labelled(self.outputs, self.targets)

    @cached_property
    def positions(self) -> Tensor:
        """How many positions of each example have a label that counts (B,), float64; under losses that classify."""
        counted = self.labelled.counted
        return counted.reshape(len(counted), -1).sum(dim=1).double()


@dataclass(frozen=True)
class Folded:
    """A metric's sums over all examples at p points."""

    sums: Tensor
    """(p, ...), float64."""
    examples: int
    """How many there are."""
    population: int
    """How many they were drawn from without replacement; as many, where they are all there are."""
    squared_norms: Callable[[], Tensor]
    """The squares (p,) of the lengths of the points' weight vectors, float64."""


class StreamingMetric(Metric):
    """A metric that is folded over the outputs and losses of one point's batches."""

    @abstractmethod
    def sums(self, evaluation: Evaluation) -> Tensor:
        """Sums (p, ...) over a batch's examples, to be added over batches in float64."""

    @abstractmethod
    def value(self, folded: Folded) -> Tensor:
        """The metric (p,), or (p, k), of its sums."""
