"""Derivatives of the mean loss over a split at a chunk of points.

A metric requests a gradient or a Hessian-vector product, which the strategy computes by its ``pullback`` and
``hessian_product``.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lossatlas.data import Split, count_examples, cut_parts
from lossatlas.engine.failures import tell_failures
from lossatlas.engine.network import Network
from lossatlas.engine.strategy import Points, Strategy, Term
from lossatlas.errors import CannotFinish
from lossatlas.types import Batch, Outputs, Params

__all__ = ["Derivatives"]


class Derivatives:
    """Derivatives of the mean loss over a split at p points, accumulated over batches with exact weights.

    The mean loss is ``sum_i w_i l_i / sum_i w_i`` with weights w of examples that do not depend on the point: sums of
    weighted losses over batches are differentiated, and divided by the sum of all weights.
    """

    def __init__(
        self,
        strategy: Strategy,
        network: Network,
        points: Points,
        split: Split,
        eval_batch_size: int,
        examples: int | None = None,
    ) -> None:
        self._strategy = strategy
        self._network = network
        self._points = points
        self._split = split
        self._eval_batch_size = eval_batch_size
        self._examples = examples

    def gradient(self) -> Tensor:
        """Compute the gradients (p, n)."""
        return self._folded(
            lambda batch, term: self._strategy.pullback(self._network, self._points, batch, term).params
        )

    def hessian_product(self, vectors: Tensor) -> Tensor:
        """Compute the product of the Hessian at each point with a vector of its own: (p, n) from vectors (p, n)."""
        named = self._network.space.unflatten(vectors)
        return self._folded(
            lambda batch, term: self._strategy.hessian_product(self._network, self._points, named, batch, term)
        )

    def _folded(self, of_batch: Callable[[Batch, Term], Params]) -> Tensor:
        """The weighted mean (p, n) of a term that is linear in the losses, summed over batches."""
        counted = 0.0

        def part(batch: Batch) -> Tensor:
            nonlocal counted
            weights = self._network.loss.weights(self._network.targets(batch))
            counted += count_examples(batch) if weights is None else float(weights.double().sum())
            return self._network.space.stack(of_batch(batch, _summed(weights)))

        with self._network.in_force(), tell_failures():
            parts = map(part, cut_parts(self._split.eval_batches(self._eval_batch_size), self._examples))
            total = next(parts)
            for further in parts:
                total += further
        if not counted > 0:
            raise CannotFinish("no example of the split counts, so that its mean loss has no gradient")
        return total / counted


def _summed(weights: Tensor | None) -> Term:
    """The sum over points and examples of losses, weighted by the weights of the examples (B,)."""

    def summed(outputs: Outputs, losses: Tensor, points: slice) -> Tensor:
        return losses.sum() if weights is None else (losses @ weights.detach().to(losses)).sum()

    return summed
