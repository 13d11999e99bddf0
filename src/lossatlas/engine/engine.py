"""The engine: from points of a chart and batches of examples to values and gradients, in chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from lossatlas.data import Split, cut_parts
from lossatlas.describing import count_things, write_repr
from lossatlas.engine.checking import spread
from lossatlas.engine.contracts import Evaluation, Folded, Functional, Metric, StreamingMetric
from lossatlas.engine.derivatives import Derivatives, Room
from lossatlas.engine.failures import tell_failures
from lossatlas.engine.measuring import count_values, measure_batch, try_metric
from lossatlas.engine.network import Network
from lossatlas.engine.plan import Plan
from lossatlas.engine.private import NARROW
from lossatlas.engine.strategy import STRATEGIES, Points, Strategy, Term
from lossatlas.engine.stretching import add_stretching
from lossatlas.errors import BadInput
from lossatlas.losses import share_examples, split_terms
from lossatlas.schema import Companion
from lossatlas.types import Batch, Outputs, Params
from lossatlas.weights import WeightSpace

__all__ = ["Engine", "Pullback"]

MEMORY = 2**30
"""The bytes that a chunk of points may take where the plan leaves it open."""
FEW = 8
"""The number of examples that metrics are tried on."""


@dataclass(frozen=True)
class Pullback:
    """The value of a functional and its gradients with respect to controls and coefficients."""

    value: float
    controls: Tensor
    """The gradient with respect to the controls, (m, n)."""
    coefficients: Tensor | None
    """The gradient with respect to the coefficients, (P, m); None if they do not require one."""
    metrics: dict[str, Tensor]
    """The values (P,) of each metric on the batch."""


class Engine:
    """Evaluates a network at ``coefficients (P, m) @ controls (m, n)``, one chunk of weight vectors at a time.

    An engine serves one thread at a time; so do all engines that share a network. Strategies may use threads.

    Args:
        network: the problem under a buffers policy.
        plan: strategies and chunk sizes, chosen by :func:`~lossatlas.engine.plan_for` or given.
    """

    def __init__(self, network: Network, plan: Plan) -> None:
        self.network = network
        self.plan = plan
        network.handed.differentiates |= plan.differentiates_inputs
        self._evaluate: Strategy = STRATEGIES[plan.evaluate.strategy]()
        self._pullback: Strategy = STRATEGIES[plan.pullback.strategy]()
        self._derivatives: Strategy = STRATEGIES[plan.derivatives.strategy]()
        self._evaluated = network.at(plan.evaluate.precision)
        self._pulled = network.at(plan.pullback.precision)
        self._derived = network.at(plan.derivatives.precision)

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        network = self.network
        weights = count_things(network.space.size, "weight")
        return f"{type(network.original).__name__} of {weights}, {network.loss!r}, {self.plan!r}, on {network.device}"

    def evaluate(
        self,
        coefficients: Tensor,
        controls: Tensor,
        split: Split,
        metrics: Mapping[str, StreamingMetric],
        eval_batch_size: int,
        listen: Callable[[slice, slice, Evaluation], None] | None = None,
    ) -> dict[str, Tensor]:
        """Evaluate streaming metrics over a split at every point.

        Args:
            coefficients: (P, m).
            controls: (m, n).
            split: the examples.
            metrics: by name.
            eval_batch_size: examples per batch; under batch statistics those of one are normalised together.
            listen: told of every evaluation that the metrics are made of, with the slices of its points and examples,
                for what is wanted of single examples in the same pass; it must not write to it, and may raise.

        Returns:
            For each metric a tensor (P,) in float64 on the CPU, or (P, k) if it has several values per point; also for
            its :meth:`companions`, under the names of :meth:`~lossatlas.schema.Companion.of`.
        """
        coefficients, controls = coefficients.detach(), controls.detach()
        parts: dict[str, list[Tensor]] = {}
        for points in self._chunks(len(coefficients), self.plan.evaluate.points):
            networks = self._points(self._evaluate, coefficients[points], controls)
            sums: dict[str, Tensor] = {}
            for examples, evaluation in self._seen(networks, split, eval_batch_size):
                for name, share in measure_batch(metrics, evaluation):
                    sums[name] = sums[name] + share if name in sums else share
                if listen is not None:
                    listen(points, examples, evaluation)
            for name, value in self._values(metrics, sums, networks, split).items():
                parts.setdefault(name, []).append(value.cpu())
        return {name: torch.cat(values) for name, values in parts.items()}

    def shapes(self, split: Split, metrics: Mapping[str, Metric]) -> dict[str, tuple[int, ...]]:
        """Find the shape of each metric at a point: () for one number, (k,) for several.

        Streaming metrics are tried on a few examples.

        Raises:
            BadInput: a metric fails on the network's outputs, or returns another shape than it declares.
        """
        count = min(FEW, len(split))
        batch = split.take(spread(count, split))
        with self._evaluated.calling(), self._evaluated.in_force(), tell_failures():
            outputs, losses = self._evaluated({}, batch)
        evaluation = Evaluation.of_one(outputs, losses, self.network.targets(batch), batch, self.network.loss)
        found: dict[str, tuple[int, ...]] = {}
        for name, metric in metrics.items():
            several = metric.quantity(self.network.loss).dimension is not None
            found[name] = (count_values(name, metric, evaluation),) if several else ()
            if isinstance(metric, StreamingMetric):
                self._check_shape(name, metric, evaluation, split, found[name])
        return found

    def _check_shape(
        self, name: str, metric: StreamingMetric, evaluation: Evaluation, split: Split, shape: tuple[int, ...]
    ) -> None:
        """Refuse a metric whose values or companions have another shape than it declares."""
        count = evaluation.losses.shape[1]

        def made(sums: Tensor) -> list[Tensor]:
            folded = Folded(sums, count, split.population, lambda: torch.ones(1))
            beside = [metric.companion(each, folded) for each in self.companions(split, metric)]
            return [metric.value(folded), *beside]

        for value in try_metric(name, metric, evaluation, made):
            if value.shape != (1, *shape):
                wanted = f"a row of the {shape[0]} values that it says" if shape else "one number"
                raise BadInput(f"metric {name!r} returned shape {tuple(value.shape)} for one point; expected {wanted}")

    def _values(
        self, metrics: Mapping[str, StreamingMetric], sums: Mapping[str, Tensor], networks: Points, split: Split
    ) -> dict[str, Tensor]:
        """The metrics at the p points of a chunk, with their companions."""
        squared_norms = partial(_squared_norms, networks, self.network.space)
        found = {}
        for name, metric in metrics.items():
            folded = Folded(sums[name], len(split), split.population, squared_norms)
            found[name] = metric.value(folded)
            for beside in self.companions(split, metric):
                found[beside.of(name)] = metric.companion(beside, folded)
        return found

    def companions(self, split: Split, metric: Metric) -> tuple[Companion, ...]:
        """List the companions of a metric on a split; sampled ones only if the split is a random subset."""
        sampled = split.population > len(split) > 1 and self.network.loss.per_example
        return tuple(each for each in metric.companions if sampled or not each.sampled)

    def pullback(
        self,
        coefficients: Tensor,
        controls: Tensor,
        batch: Batch,
        functional: Functional,
        metrics: Mapping[str, StreamingMetric] | None = None,
    ) -> Pullback:
        """Compute the value of a functional on one batch and its gradients.

        Args:
            coefficients: (P, m); their gradient is returned if they require one.
            controls: (m, n).
            batch: B examples, shared by all points.
            functional: what to differentiate; in one pass, or in two if it is coupled.
            metrics: evaluated on the batch at the same time.

        Raises:
            BadInput: coefficients require a gradient, and statistics depend on them.
        """
        self.network.check_gradient()
        wants_coefficients = coefficients.requires_grad
        if wants_coefficients and self.network.varies_buffers:
            raise BadInput(
                "gradients of coefficients are not known where statistics change with them; use another buffers "
                "policy, such as batch, or detach the coefficients"
            )
        coefficients, controls = coefficients.detach(), controls.detach()
        metrics, space = metrics or {}, self.network.space
        into_controls = torch.zeros_like(controls)
        into_coefficients = torch.zeros_like(coefficients)
        value = 0.0
        targets = self.network.targets(batch)
        weights = self.network.loss.weights(targets)
        functional.see(self.network.loss, targets)

        def direct(outputs: Outputs, losses: Tensor, points: slice) -> Tensor:
            plain, _ = split_terms(outputs)
            return functional.value(plain, losses, share_examples(weights, losses), points)

        term: Term = direct
        if functional.coupled:
            gathered = self._forward(coefficients, controls, batch, outputs=functional.sees_outputs)
            linear = _CotangentTerm(direct, *gathered)
            term, value = linear, linear.total
        values: list[Tensor] = []
        found: dict[str, list[Tensor]] = {name: [] for name in metrics}
        for points in self._chunks(len(coefficients), self.plan.pullback.points):
            share = coefficients[points].requires_grad_(wants_coefficients)
            networks = self._points(self._pullback, share, controls)
            with self._pulled.in_force(), tell_failures():
                got = self._pullback.pullback(self._pulled, networks, batch, _shifted(term, points.start))
            space.fold(got.params, share.detach(), into_controls)
            space.add(got.controls, into_controls)
            if wants_coefficients:
                into_coefficients[points] = space.along(got.params, controls)
                if got.coefficients is not None:
                    into_coefficients[points] += got.coefficients
            values.append(got.value)
            evaluation = Evaluation.of(got.outputs, got.losses, targets, batch, self.network.loss)
            for name, sums in measure_batch(metrics, evaluation):
                examples = got.losses.shape[1]
                folded = Folded(sums, examples, examples, partial(_squared_norms, networks, space))
                found[name].append(metrics[name].value(folded))
        # Up to here the CPU has not waited for a GPU.
        if not functional.coupled and values:
            value += float(torch.stack(values).double().sum())
        if functional.geometric:
            value += _add_geometry(functional, coefficients, controls, into_coefficients, into_controls)
        if functional.tangents is not None:
            value += add_stretching(functional, functional.tangents, controls, into_controls)
        return Pullback(
            value,
            into_controls,
            into_coefficients if wants_coefficients else None,
            {name: torch.cat(parts).cpu() for name, parts in found.items()},
        )

    def evaluations(
        self, coefficients: Tensor, controls: Tensor, split: Split, eval_batch_size: int
    ) -> Iterator[tuple[slice, slice, Evaluation]]:
        """Evaluate networks on a split chunk by chunk and batch by batch, without keeping the results.

        Statistics of points are computed once per chunk, for which reason all batches of a chunk are evaluated first.

        Args:
            coefficients: (P, m).
            controls: (m, n).
            split: the examples.
            eval_batch_size: examples per batch.

        Yields:
            The slice of the points, the slice of the examples, and their evaluation.
        """
        coefficients, controls = coefficients.detach(), controls.detach()
        for points in self._chunks(len(coefficients), self.plan.evaluate.points):
            networks = self._points(self._evaluate, coefficients[points], controls)
            for examples, evaluation in self._seen(networks, split, eval_batch_size):
                yield points, examples, evaluation

    def find_state(self, coefficients: Tensor, controls: Tensor) -> Params:
        """Find the complete state of the network at one point, as ``state_dict`` names it, in new tensors on the CPU.

        Parameters are those of the point, tied ones under all of their names, and so are statistics that points have of
        their own. Everything else is as in the problem's module, also the running statistics that are not used where
        layers normalise by the batch.

        Args:
            coefficients: (1, m).
            controls: (m, n).

        Raises:
            BadInput: the state of the module has parts that are not tensors.
        """
        networks = self._points(self._evaluate, coefficients.detach(), controls.detach())
        return self.network.complete({name: values[0] for name, values in networks.params.items()})

    def _seen(self, networks: Points, split: Split, eval_batch_size: int) -> Iterator[tuple[slice, Evaluation]]:
        """The evaluations of a chunk of points on a split, batch by batch, each with the slice of its examples."""
        seen = 0
        for batch in cut_parts(split.eval_batches(eval_batch_size), self.plan.evaluate.examples):
            with self._evaluated.in_force(), tell_failures():
                outputs, losses = self._evaluate.forward(self._evaluated, networks, batch)
            count = losses.shape[1]
            yield (
                slice(seen, seen + count),
                Evaluation.of(outputs, losses, self.network.targets(batch), batch, self.network.loss),
            )
            seen += count

    def derivatives(
        self,
        coefficients: Tensor,
        controls: Tensor,
        split: Split,
        eval_batch_size: int,
        vectors: tuple[int, int] = (0, 0),
        *,
        size: int | None = None,
        graphs: bool = True,
    ) -> Iterator[tuple[slice, Derivatives]]:
        """Differentiate the mean loss over a split at the points, chunk by chunk.

        Args:
            coefficients: (P, m).
            controls: (m, n).
            split: the examples.
            eval_batch_size: examples per batch.
            vectors: how many vectors of length n are kept at each point, at least and usually, such as a Krylov basis;
                :attr:`Derivatives.room` says how many may be.
            size: the length n of these vectors; default that of the weights.
            graphs: whether memory is left for graphs of first derivatives, which products with operators go through.

        Yields:
            The slice of the points, and their derivatives: gradients and products with second-order operators.

        Raises:
            BadInput: the losses have no gradient, or the memory does not hold the vectors of one point.
        """
        self.network.check_gradient()
        coefficients, controls = coefficients.detach(), controls.detach()
        self.check_room(controls, vectors[0], size)
        count, room = self._find_room(vectors, self._measure_vector(controls, size), len(split) if graphs else 0)
        for points in self._chunks(len(coefficients), count):
            yield (
                points,
                Derivatives(
                    self._derivatives,
                    self._derived,
                    _widened(self._points(self._derivatives, coefficients[points], controls)),
                    split,
                    eval_batch_size,
                    self.plan.derivatives.examples,
                    room,
                ),
            )

    def check_room(self, controls: Tensor, least: int, size: int | None = None) -> None:
        """Refuse a memory that does not hold the vectors of one point, see :meth:`derivatives`.

        Raises:
            BadInput: it does not.
        """
        memory, each = self.plan.memory or MEMORY, self._measure_vector(controls, size)
        if least * each > memory:
            raise BadInput(
                f"memory for a chunk is {memory / 1e6:,.3g} MB, and the {least} vectors that curvature at one point "
                f"needs take {least * each / 1e6:,.3g} MB; allow more (--memory), or take it in fewer parameters "
                "(--curvature_parameters)"
            )

    @staticmethod
    def _measure_vector(controls: Tensor, size: int | None) -> int:
        """The bytes of a vector that is kept."""
        numbers = controls.shape[1] if size is None else size
        return numbers * max(controls.element_size(), torch.float32.itemsize)

    def _find_room(self, vectors: tuple[int, int], size: int, examples: int) -> tuple[int, Room]:
        """Find how many points derivatives are taken at together, and the memory at each.

        Half of it is for vectors. Of points only so many are taken that the graphs of all examples may be kept, which
        is worth more than taking many points together.

        Args:
            vectors: how many are kept at each point, at least and usually.
            size: the bytes of one.
            examples: whose graphs are kept.
        """
        service, memory = self.plan.derivatives, self.plan.memory or MEMORY
        least, usual = vectors
        count = service.points
        if not usual:
            return count, Room()
        count = max(1, min(count, memory // 2 // (usual * size)))
        held = max(least, min(usual, memory // 2 // size))
        if service.example_bytes and examples:
            fitting = (memory - held * size) // (service.example_bytes * examples + held * size)
            count = min(count, fitting) if fitting else count
        return count, Room(held, max(0, memory - count * held * size), service.example_bytes if examples else None)

    def _points(self, strategy: Strategy, coefficients: Tensor, controls: Tensor) -> Points:
        """The networks of a chunk of points: weights, and buffers if points have their own.

        In full precision, whatever the precision of the calls, since rounding weights would move the points.
        """
        space, held = self.network.space, coefficients.detach()
        with self.network.in_force(), tell_failures():
            params = self.network.with_buffers(strategy.each_point, space.combine(held, controls), held)
        return Points(params, coefficients, space.unflatten(controls))

    def _forward(
        self, coefficients: Tensor, controls: Tensor, batch: Batch, *, outputs: bool
    ) -> tuple[Outputs, Tensor]:
        """Outputs (P, B, ...), if requested, and losses (P, B) at all points, without a graph."""

        def part(points: slice) -> tuple[Outputs, Tensor]:
            networks = self._points(self._pullback, coefficients[points], controls)
            found, losses = self._pullback.forward(self._pulled, networks, batch)
            return found if outputs else (), losses

        with self._pulled.in_force(), tell_failures():
            parts = [part(points) for points in self._chunks(len(coefficients), self.plan.pullback.points)]
        together = tree_map(lambda *leaves: torch.cat(leaves), *(found for found, _ in parts))
        return together, torch.cat([losses for _, losses in parts])

    @staticmethod
    def _chunks(count: int, size: int) -> Iterator[slice]:
        for start in range(0, count, size):
            yield slice(start, min(start + size, count))


def _widened(points: Points) -> Points:
    """Points whose parameters have at least 32 bits, in which derivatives are taken; without controls."""
    params = {name: value.float() if value.dtype in NARROW else value for name, value in points.params.items()}
    return replace(points, params=params, controls={})


def _squared_norms(networks: Points, space: WeightSpace) -> Tensor:
    """The squared norms of the weight vectors of p networks, (p,), float64."""
    squares = [networks.params[entry.name].flatten(1).double().square().sum(dim=1) for entry in space.entries]
    return torch.stack(squares).sum(dim=0)


def _shifted(term: Term, start: int) -> Term:
    """A term with points counted from ``start``, the first of a chunk."""

    def shifted(outputs: Outputs, losses: Tensor, points: slice) -> Tensor:
        return term(outputs, losses, slice(points.start + start, points.stop + start))

    return shifted


class _CotangentTerm:
    """The linearisation of a coupled functional: the scalar products of outputs and losses with its cotangents."""

    def __init__(self, value: Term, outputs: Outputs, losses: Tensor) -> None:
        leaves, spec = tree_flatten(outputs)
        leaves = [leaf.requires_grad_(leaf.is_floating_point()) for leaf in leaves]
        losses = losses.requires_grad_()
        total = value(tree_unflatten(leaves, spec), losses, slice(0, len(losses)))
        differentiable = [leaf for leaf in [*leaves, losses] if leaf.requires_grad]
        cotangents = iter(torch.autograd.grad(total, differentiable, allow_unused=True))
        self.total = float(total.detach())
        self._outputs = [next(cotangents) if leaf.requires_grad else None for leaf in leaves]
        self._losses = next(cotangents)

    def __call__(self, outputs: Outputs, losses: Tensor, points: slice) -> Tensor:
        seen = tree_flatten(outputs)[0] if self._outputs else []
        pairs = zip([*seen, losses], [*self._outputs, self._losses], strict=True)
        products = [(leaf * cotangent[points]).sum() for leaf, cotangent in pairs if cotangent is not None]
        return torch.stack([losses.new_zeros(()), *products]).sum()


def _add_geometry(
    functional: Functional, coefficients: Tensor, controls: Tensor, into_coefficients: Tensor, into_controls: Tensor
) -> float:
    """Add the gradients of a functional's geometry; returns its value."""
    positions = coefficients.double().requires_grad_()
    wide = controls.double()
    gram = (wide @ wide.T).requires_grad_()
    value = functional.geometry(positions, gram)
    by_position, by_gram = torch.autograd.grad(value, (positions, gram), allow_unused=True)
    if by_position is not None:
        into_coefficients += by_position.to(into_coefficients)
    if by_gram is not None:
        into_controls += ((by_gram + by_gram.T) @ wide).to(into_controls)
    return float(value.detach())
