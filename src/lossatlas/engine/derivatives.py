"""Derivatives of the mean loss over a split at a chunk of points.

A computation requests gradients, products with second-order operators, or the losses at points nearby.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from lossatlas.data import Split, count_examples, cut_parts
from lossatlas.engine.failures import tell_failures
from lossatlas.engine.network import Network
from lossatlas.engine.second_order import check_operator
from lossatlas.engine.strategy import Linearised, Points, Strategy, Term
from lossatlas.errors import BadInput, CannotFinish
from lossatlas.types import Batch, Outputs, Params
from lossatlas.weights import WeightSpace

__all__ = ["Derivatives", "Operator", "Room"]


@dataclass(frozen=True)
class Room:
    """The memory of a chunk of points beside its weights.

    Attributes:
        vectors: The number of vectors of length n that a computation may keep at each point.
        graphs: The bytes for graphs of first derivatives.
        example_bytes: The bytes of the graph of one example at one point; None if unknown, then none is kept.
    """

    vectors: int = 0
    graphs: int = 0
    example_bytes: int | None = None


@dataclass(frozen=True, eq=False)
class _Mean:
    """The mean loss over a split at p points. Derivatives and their operators share it, and do not refer to each other:
    what operators keep is gone with the last reference to them, without waiting for Python to look for cycles.
    """

    strategy: Strategy
    network: Network
    points: Points
    split: Split
    eval_batch_size: int
    examples: int | None

    def batches(self) -> Iterator[Batch]:
        return cut_parts(self.split.eval_batches(self.eval_batch_size), self.examples)

    def weigh(self, batch: Batch) -> Tensor | None:
        return self.network.loss.weights(self.network.targets(batch))


class Derivatives:
    """Derivatives of the mean loss over a split at p points, accumulated over batches with exact weights.

    Statistics of normalisation are held fixed, also where each point has its own.

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
        room: Room = Room(),
    ) -> None:
        self._of = _Mean(strategy, network, points, split, eval_batch_size, examples)
        self.room = room
        """The memory that a computation may use."""
        self._operators: dict[tuple[str, tuple[str, ...]], Operator] = {}

    @property
    def count(self) -> int:
        """The number p of points."""
        return len(self._of.points.coefficients)

    @property
    def space(self) -> WeightSpace:
        """The weight space of the points."""
        return self._of.network.space

    @property
    def network(self) -> Network:
        """The network that is differentiated."""
        return self._of.network

    def weights(self) -> Tensor:
        """Return the weights (p, n) of the points."""
        return self.space.stack(self._of.points.params)

    def losses(self) -> Tensor:
        """Compute the mean losses (p,), float64, on the CPU."""
        counted, total = 0.0, torch.zeros(self.count, dtype=torch.float64)
        with self._of.network.in_force(), tell_failures():
            for batch in self._of.batches():
                _, losses = self._of.strategy.forward(self._of.network, self._of.points, batch)
                weights = self._of.weigh(batch)
                counted += _total(weights, batch)
                wide = losses.double()
                total += (wide.sum(dim=1) if weights is None else wide @ weights.double().to(wide.device)).cpu()
        return total / _check_counted(counted)

    def gradient(self) -> Tensor:
        """Compute the gradients (p, n), at fixed statistics of normalisation.

        Warns:
            Caution: these depend on the point; once for a network.
        """
        self._of.network.tell_of_statistics()
        counted = 0.0

        def part(batch: Batch) -> Tensor:
            nonlocal counted
            weights = self._of.weigh(batch)
            counted += _total(weights, batch)
            return self.space.stack(
                self._of.strategy.pullback(self._of.network, self._of.points, batch, _summed(weights)).params
            )

        with self._of.network.in_force(), tell_failures():
            total = _accumulate(part(batch) for batch in self._of.batches())
        return total / _check_counted(counted)

    def move(self, steps: Tensor) -> Derivatives:
        """Make the derivatives at the points moved by steps (p, n), with the statistics that these have."""
        named = self.space.unflatten(steps)
        params = {
            name: value + named[name] if name in named else value for name, value in self._of.points.params.items()
        }
        of = self._of
        moved = replace(of.points, params=params)
        return Derivatives(of.strategy, of.network, moved, of.split, of.eval_batch_size, of.examples, self.room)

    def operator(self, name: str = "hessian", parameters: Sequence[str] = ("*",)) -> Operator:
        """Make a second-order operator at the points.

        Args:
            name: ``hessian``, or ``ggn``, the generalised Gauss-Newton matrix.
            parameters: shell-style patterns of those of the space's parameters that it is taken in, ``matrices`` for
                those of two and more dimensions; the others are held fixed.

        Raises:
            BadInput: no parameter matches, or as :func:`~lossatlas.engine.second_order.check_operator`.
        """
        check_operator(self._of.network, self._of.split, name)
        key = name, tuple(parameters)
        if key not in self._operators:
            space = self.space.choose(parameters)
            self._operators = {key: Operator(self._of, name, space, self.room)}  # the graphs of another one are gone
        return self._operators[key]

    def hessian_product(self, vectors: Tensor) -> Tensor:
        """Compute the product of the Hessian at each point with a vector of its own: (p, n) from vectors (p, n)."""
        return self.operator("hessian")(vectors, torch.arange(self.count))


class Operator:
    """A symmetric matrix at each of p points, of the second derivatives of the mean loss over a split.

    The graphs of first derivatives are kept from one product to the next as far as they fit the memory; where all do,
    the split is read once. Points that are not multiplied any more are left out.
    """

    def __init__(self, of: _Mean, name: str, space: WeightSpace, room: Room) -> None:
        self.name = name
        self.space = space
        """The parameters in which it is taken."""
        self._of = of
        self._room = room
        self._at: list[int] = []
        """The points that graphs are kept of."""
        self._kept: dict[int, Linearised] = {}
        """By the number of a batch."""
        self._parts: int | None = None
        """The number of batches, once known."""
        self._counted = 0.0

    @property
    def like(self) -> Tensor:
        """A tensor (p, 0...) of the dtype and device of vectors, expanded to their shape (p, n)."""
        params = self._of.points.params
        first = params[self.space.entries[0].name]
        return first.new_empty(1).expand(len(self._of.points.coefficients), self.space.size)

    @property
    def count(self) -> int:
        """The number p of points."""
        return len(self._of.points.coefficients)

    @property
    def error(self) -> float:
        """How far products may be off, as a share of the largest eigenvalue, beyond the rounding of their dtype."""
        return self._of.network.handed.product_error

    def embed(self, vectors: Tensor) -> Tensor:
        """Put vectors (..., n) of the operator's parameters into the whole weight space, with zeros elsewhere."""
        flat = vectors.reshape(-1, self.space.size)
        whole = flat.new_zeros(len(flat), self._of.network.space.size)
        self._of.network.space.add(self.space.unflatten(flat), whole)
        return whole.view(*vectors.shape[:-1], -1)

    def __call__(self, vectors: Tensor, numbers: Tensor) -> Tensor:
        """Multiply the matrices of some points with vectors.

        Args:
            vectors: (k, n), one for each of these points.
            numbers: their indices (k,), ascending, each once, on the CPU.

        Returns:
            The products (k, n).

        Raises:
            BadInput: the indices are not ascending.
        """
        of = self._of
        points = numbers.tolist()
        if any(one >= other for one, other in pairwise(points)):
            raise BadInput(f"an operator is multiplied at the points {points}; expected ascending indices, each once")
        self._cover(points)
        named = self.space.unflatten(vectors)
        with of.network.in_force(), tell_failures():
            total = _accumulate(self._multiply_parts(named, points))
        return total / _check_counted(self._counted)

    def _cover(self, points: list[int]) -> None:
        """Let graphs be those of points among which the given ones are, and of few others."""
        stale = not set(points) <= set(self._at)
        wasteful = 2 * len(points) <= len(self._at) and (
            self._of.strategy.stacks_points or len(self._kept) != self._parts
        )
        if stale or wasteful:
            self._at, self._kept = points, {}

    def _multiply_parts(self, named: Params, points: list[int]) -> Iterator[Tensor]:
        """The products of each batch, not yet divided by what all examples count."""
        of = self._of
        if self._parts is not None and len(self._kept) == self._parts:
            rows = [self._at.index(point) for point in points]
            for kept in self._kept.values():
                yield self.space.stack(kept(named, rows))
            return
        counted, parts = 0.0, 0
        capacity = self._find_capacity()
        network, strategy, varied = of.network, of.strategy, [entry.name for entry in self.space.entries]
        for number, batch in enumerate(of.batches()):
            weights = of.weigh(batch)
            counted += _total(weights, batch)
            parts += 1
            examples = count_examples(batch)
            if number not in self._kept and examples <= capacity:
                capacity -= examples
                self._kept[number] = strategy.linearise(
                    network, _take(of.points, self._at), batch, _summed(weights), self.name, varied
                )
            if number in self._kept:
                rows = [self._at.index(point) for point in points]
                yield self.space.stack(self._kept[number](named, rows))
            else:
                yield self.space.stack(
                    strategy.multiply(network, _take(of.points, points), named, batch, _summed(weights), self.name)
                )
        self._parts, self._counted = parts, counted

    def _find_capacity(self) -> int:
        """How many further examples' graphs may be kept at the points."""
        room = self._room
        if room.example_bytes is None or not self._of.network.keeps_graphs or self._kept:
            return 0
        return room.graphs // max(1, room.example_bytes * len(self._at))


def _take(points: Points, indices: list[int]) -> Points:
    """Some of the points."""
    if len(indices) == len(points.coefficients):
        return points
    rows = torch.tensor(indices, device=points.coefficients.device)
    return Points({name: value[rows] for name, value in points.params.items()}, points.coefficients[rows], {})


def _accumulate(parts: Iterator[Tensor]) -> Tensor:
    """The sum of tensors, of which the first is written to."""
    total = next(parts)
    for further in parts:
        total += further
    return total


def _total(weights: Tensor | None, batch: Batch) -> float:
    """What the examples of a batch count together."""
    return count_examples(batch) if weights is None else float(weights.double().sum())


def _check_counted(counted: float) -> float:
    if not counted > 0:
        raise CannotFinish("no example of the split counts, so that its mean loss has no gradient")
    return counted


def _summed(weights: Tensor | None) -> Term:
    """The sum over points and examples of losses, weighted by the weights of the examples (B,)."""

    def summed(outputs: Outputs, losses: Tensor, points: slice) -> Tensor:
        return losses.sum() if weights is None else (losses @ weights.detach().to(losses)).sum()

    return summed
