"""What the engine asks of those above it: functionals to pull back, and metrics to fold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from lossatlas.losses import Loss
from lossatlas.schema import Quantity
from lossatlas.types import Outputs

__all__ = ["Functional", "Metric", "StreamingMetric"]


class Functional(ABC):
    """A number made of the outputs and losses at P points, and of the points themselves."""

    coupled: bool
    """False: a sum over points, so that one pass chunk by chunk gives the gradient. True: the engine first gathers
    the outputs and losses of all points, then pulls the functional's cotangents back in a second pass."""
    geometric: bool
    """Whether :meth:`geometry` adds anything; the engine does not form the Gram matrix for those that say no."""

    @abstractmethod
    def value(self, outputs: Outputs, losses: Tensor, points: slice) -> Tensor:
        """The share of some points in the functional, a differentiable scalar.

        Args:
            outputs: (k, B, ...) at these points.
            losses: (k, B).
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
    """A number at every point: streaming, or made of derivatives (:class:`lossatlas.metrics.OperatorMetric`)."""

    @abstractmethod
    def applies(self, loss: Loss) -> bool:
        """Whether the metric has a meaning under this loss."""

    @abstractmethod
    def quantity(self, loss: Loss) -> Quantity:
        """Name and unit under this loss."""


class StreamingMetric(Metric):
    """A metric that is folded over the outputs and losses of one point's batches."""

    @abstractmethod
    def sums(self, outputs: Outputs, losses: Tensor, targets: Any) -> Tensor:
        """Sums (p, ...) over a batch's examples, to be added over batches in float64.

        Args:
            outputs: (p, B, ...).
            losses: (p, B).
            targets: the batch's, shared by all points.
        """

    @abstractmethod
    def value(self, sums: Tensor, examples: int) -> Tensor:
        """The metric (p,) from the sums (p, ...) over ``examples`` examples."""
