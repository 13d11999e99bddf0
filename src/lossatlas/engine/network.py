"""The problem as a function of its parameters: a private copy of the module under a buffers policy."""

from __future__ import annotations

import copy
import warnings
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.charts import CoefficientChart
from lossatlas.data import Split
from lossatlas.engine.buffers_policy import BuffersPolicy, EachPoint, normalisations_with_statistics
from lossatlas.engine.failures import model_failure
from lossatlas.engine.faithful import check_faithful, unused_parameters
from lossatlas.engine.precision import PRECISIONS, Precision
from lossatlas.engine.private import NARROW, Handed, bare, install, private_copy, without_graph
from lossatlas.engine.purity import check_pure, comparable, equal, recomputes
from lossatlas.errors import BadInput, Caution, LossatlasError, ModelFailure, first_line
from lossatlas.hashing import fingerprint
from lossatlas.losses import Loss, check_total, checked_total
from lossatlas.problem import Problem
from lossatlas.types import Batch, Outputs, Params, examples_in
from lossatlas.weights import WeightSpace

__all__ = ["Network"]

CHECKED_EXAMPLES = 8
MENTIONED = 4
"""How many unused parameters are listed."""


class Network:
    """``(params, batch) -> (outputs, losses)``, pure: the user's module stays as it is.

    Args:
        problem: module, loss and feed.
        space: which parameters vary; the others keep the module's values.
        buffers: what running statistics mean.
        chart: where it will be evaluated.
        device: where the copy lives.

    Raises:
        BadInput: the policy has no meaning for this module and chart, or the module cannot be copied.
    """

    def __init__(
        self,
        problem: Problem,
        space: WeightSpace,
        buffers: BuffersPolicy,
        chart: CoefficientChart,
        device: torch.device | str = "cpu",
    ) -> None:
        self.space = space
        self.varied = frozenset(entry.name for entry in space.entries)
        """Names of what the space spans, as its parameters are called."""
        self.handed = Handed(problem.feed, problem.loss)
        self.buffers = buffers.record
        self.follows_weights = buffers.follows_weights
        self.varies_buffers = buffers.varies
        self.has_statistics = bool(normalisations_with_statistics(problem.module))
        """Whether running statistics are kept, so that a buffers policy makes a difference."""
        buffers.check(problem.module, chart)
        self.device = torch.device(device)
        self._precision: Precision = PRECISIONS["fp32"]()
        self._original = bare(problem.module)
        # Numbers of 16 bits are too coarse for the steps of a map; layers in autocast choose their own (see `at`).
        self.handed.widens = any(value.dtype in NARROW for value in self._original.parameters())
        self._prepared = buffers.prepare(self._copy(), self.handed, chart)
        self._module = self._prepared.module.requires_grad_(False)
        self._recomputing: nn.Module | None = None
        """A copy that keeps the parameters of its last call, for modules whose backward pass reads them again."""
        self._tried = False
        self.fingerprint = self._fingerprint()
        """A hash of everything that is the same at every point: held parameters, buffers and their names."""

    @property
    def loss(self) -> Loss:
        """The problem's loss; what it leaves open is settled by the first examples."""
        return self.handed.loss

    def __call__(self, params: Params, batch: Batch) -> tuple[Outputs, Tensor]:
        """Outputs (B, ...) and losses (B,) of one network.

        Args:
            params: of their own shapes, as :meth:`WeightSpace.unflatten` returns them; buffers may be among them.
            batch: what the feed takes.
        """
        if self.handed.widens:
            params = {name: _at_least_single(value) for name, value in params.items()}
        with self._precision.of_call(self.device):
            if self._recomputing is not None and torch.is_grad_enabled():
                outputs = self.handed.called_with(install(self._recomputing, self._all_names(params)), batch)
            else:
                outputs = self.handed.called(self._module, params, batch)
        outputs = tree_map(_at_least_single, outputs)
        return self.handed.judged(outputs, batch)

    def calling(self) -> AbstractContextManager[object]:
        """To be entered, in each thread, around calls whose results are wanted without a graph; they may carry one."""
        return self.handed.calling()

    @property
    def differentiates(self) -> bool:
        """Whether it is differentiated by its inputs as it is called, so that every call takes a graph."""
        return self.handed.differentiates

    def at(self, precision: str) -> Network:
        """The same function in another precision.

        Raises:
            BadInput: the device has no such numbers.
        """
        twin = copy.copy(self)
        twin._precision = PRECISIONS[precision]()
        twin._precision.check(self.device)
        return twin

    def in_force(self) -> AbstractContextManager[object]:
        """To be entered around everything that a strategy does with it, backwards too."""
        return self._precision.of_process()

    def replica(self) -> Network:
        """The same function on a copy of the module, for another thread."""
        twin = copy.copy(self)
        twin._module = copy.deepcopy(self._module)
        if self._recomputing is not None:
            twin._recomputing = copy.deepcopy(self._module)
        return twin

    def with_buffers(self, each_point: EachPoint, params: Params, coefficients: Tensor) -> Params:
        """Named parameters (p, *shape) and what buffers these points have of their own.

        Args:
            each_point: how a strategy applies a function at all points.
            params: (p, *shape).
            coefficients: (p, m), those of the points.
        """
        return params | self._prepared.buffers(each_point, params, coefficients)

    def _fingerprint(self) -> str:
        varied = {name for entry in self.space.entries for name in entry.names}
        state = {name: value for name, value in self._module.state_dict().items() if isinstance(value, Tensor)}
        unsaved = {name: value for name, value in self._module.named_buffers() if name not in state}
        held = ((name, tensor) for name, tensor in {**state, **unsaved}.items() if name not in varied)
        return fingerprint(held, kind=f"{[(entry.names, entry.shape) for entry in self.space.entries]}")

    def _all_names(self, params: Params) -> Params:
        """Under every name of a tied parameter."""
        tied = {entry.name: entry.names for entry in self.space.entries if len(entry.names) > 1}
        return {each: value for name, value in params.items() for each in tied.get(name, (name,))}

    def can_cut(self, batch: Batch) -> bool:
        """Whether a group of examples may be evaluated part by part: each has a loss and outputs of its own."""
        examples = min(CHECKED_EXAMPLES, examples_in(batch))
        if not self.loss.per_example or self._prepared.couples_examples or examples < 2:
            return False
        edges = (0, examples), (0, examples // 2), (examples // 2, examples)
        whole, *parts = (tree_map(lambda leaf, ends=ends: leaf[slice(*ends)], batch) for ends in edges)
        with self.calling(), self.in_force():
            together, apart = self({}, whole), [self({}, part) for part in parts]
        joined = tree_map(lambda *parts: torch.cat(parts), *apart)
        return equal(tree_leaves(without_graph(together)), tree_leaves(without_graph(joined)))

    def targets(self, batch: Batch) -> Any:
        """What the loss compares a batch's outputs with."""
        return self.handed.targets(batch)

    def check(self, split: Split) -> None:
        """Call the network on a few examples and refuse what cannot be fitted or surveyed.

        What can be served with more effort is noted: modules that write to their inputs, those that are differentiated
        by them, and those whose backward pass reads their parameters again.

        Args:
            split: examples of the kind that will be evaluated.

        Raises:
            BadInput: the module fails on these examples, is random, writes to a parameter or a buffer in evaluation
                mode, keeps what it computed from parameters or reaches them in other ways than by their names; its
                output does not fit the loss, a label lies outside the outputs, or the loss is not one number per
                example.
        """
        batch = split.take(torch.arange(min(CHECKED_EXAMPLES, len(split))))
        first, self._tried = not self._tried, True
        fresh = copy.deepcopy(self._module) if first else None
        with self._own_randomness():
            outputs = self._called_first(batch)
            check_pure(self._module, lambda: self._leaves(self._module, {}, batch))
            if fresh is not None:
                self._check_follows(fresh, batch)
        self._check_loss(outputs, batch, split)
        if fresh is not None:
            with self._own_randomness():
                self._check_parameters(batch)

    def _called_first(self, batch: Batch) -> Outputs:
        """The outputs at the module's own parameters, and whether they take a graph."""
        inputs = tree_leaves(self.handed.given(batch))
        given = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in inputs]
        try:
            with torch.no_grad():
                outputs = self.handed.called(self._module, {}, batch)
        except Exception as error:  # the user's own module and data may fail in any way
            outputs = self._called_with_graph(batch, error)
        if not equal(inputs, given, exactly=True):
            self.handed.copies = True
            for leaf, before in zip(inputs, given, strict=True):
                if isinstance(leaf, Tensor):
                    leaf.detach().copy_(before)
        return outputs

    def _called_with_graph(self, batch: Batch, error: Exception) -> Outputs:
        """The outputs of a network that fails without gradients; where it fails with them, too, so does the check."""
        try:
            with torch.enable_grad():
                outputs = self.handed.called(self._module, {}, batch)
        except LossatlasError:
            raise
        except Exception as again:
            raise self._failure(again, batch) from error
        self.handed.differentiates = True
        return tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, outputs)

    def _failure(self, error: Exception, batch: Batch) -> LossatlasError:
        failure = model_failure(error)
        kinds = {leaf.dtype for leaf in tree_leaves(self.handed.owned(self.handed.given(batch))) if _is_real(leaf)}
        own = {value.dtype for value in self._module.parameters() if _is_real(value)}
        if len(kinds) == len(own) == 1 and kinds != own:
            (there,), (here,) = kinds, own
            return ModelFailure(f"{failure} (the data are {there}, the weights {here}; convert one of them)")
        return failure

    def _leaves(self, module: nn.Module, params: Params, batch: Batch) -> list[object]:
        """What the loss sees of a module, as a flat list without a graph."""
        with self.handed.calling():
            leaves = tree_leaves(self.handed.called(module, params, batch))
        return [leaf.detach() if comparable(leaf) else leaf for leaf in leaves]

    def _check_follows(self, fresh: nn.Module, batch: Batch) -> None:
        """Refuse a module that was called at its own parameters and remembers them elsewhere.

        Args:
            fresh: the same module, which was never called before.
            batch: a few examples.
        """
        own = dict(self._module.named_parameters(remove_duplicate=False))
        there = {name: 1.05 * own[name].detach() + 0.01 for name in self.varied}
        try:
            expected = self._leaves(fresh, there, batch)
        except Exception:  # it need not be defined there
            return
        if not equal(expected, self._leaves(self._module, there, batch)):
            raise BadInput(
                "the model's output depends on earlier calls: it keeps something that it computed from its parameters; "
                "expected a function of parameters and inputs, so compute it anew in each call"
            )

    def _check_loss(self, outputs: Outputs, batch: Batch, split: Split) -> None:
        """Refuse a loss that does not go with the outputs, or is not one number per example."""
        examples = min(CHECKED_EXAMPLES, len(split))
        targets = self.targets(batch)
        total, looked_at = 0.0, 0
        for part in split.inspect():
            of_part, count = self.targets(part), examples_in(part)
            if not self.loss.sees_network:
                self.loss.check(outputs, targets, of_part)
            total += checked_total(self.loss, of_part, count)
            looked_at += count
        if looked_at == len(split):  # nobody knows what of a stream counts
            check_total(self.loss, total)
        if not self.loss.sees_network:
            self.handed.loss = self.loss.settled(outputs, targets)
        try:
            with self.handed.calling():
                _, losses = self.handed.judged(outputs, batch)
        except BadInput:
            raise
        except Exception as error:  # and so may the user's loss
            raise ModelFailure(f"the loss fails on the model's output: {first_line(error)}") from error
        found = f"shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else type(losses).__name__
        if found != f"shape {(examples,)}":
            raise BadInput(
                f"the loss returned {found} for {examples} examples; expected ({examples},), one loss per example "
                "(reduction='none'), a mean in a BatchMean, or a mapping of terms with terms={name: factor}"
            )

    def _check_parameters(self, batch: Batch) -> None:
        """Refuse a module that reaches its parameters in other ways than by their names; say which are not used."""
        twin = self._copy().eval().requires_grad_(False)

        def call(module: nn.Module, params: Params) -> list[object]:
            return self._leaves(module, params, batch)

        try:
            check_faithful(self._original, twin, sorted(self.varied), call)
            suspects = self._without_gradient(batch)
            unused = unused_parameters(self._original, twin, suspects, call) if suspects else []
        except LossatlasError:
            raise
        except Exception as error:
            raise model_failure(error, "the model fails at other weights than its own") from error
        if unused and len(unused) == len(self.varied):
            raise BadInput("no parameter that varies changes the model's output; choose others, or another output")
        if unused:
            listed = ", ".join(repr(name) for name in unused[:MENTIONED])
            more = f" and {len(unused) - MENTIONED} more" if len(unused) > MENTIONED else ""
            warnings.warn(
                f"unused by the model on these data, so that they change nothing: {listed}{more}", Caution, stacklevel=2
            )

    def _without_gradient(self, batch: Batch) -> list[str]:
        """Parameters that the loss has no gradient in; and whether the backward pass reads any again is noted."""
        own = dict(self._module.named_parameters(remove_duplicate=False))
        params = {name: own[name].detach().requires_grad_() for name in sorted(self.varied)}
        found: list[Tensor | None] = [None] * len(params)

        def backward() -> None:
            found[:] = torch.autograd.grad(total, [*params.values()], allow_unused=True)

        try:
            with torch.enable_grad():
                total = self(params, batch)[1].sum()
                if not total.requires_grad:
                    return list(params)
                if recomputes(self._module, backward):
                    self._recomputing = copy.deepcopy(self._module)
                    total = self(params, batch)[1].sum()
                    backward()
        except Exception:  # a strategy that needs the gradient says what is wrong with it
            return []
        return [name for name, slope in zip(params, found, strict=True) if slope is None]

    def _copy(self) -> nn.Module:
        """A copy of the user's module on the device, in 32 bits at least."""
        module = private_copy(self._original).to(self.device)
        return module.float() if self.handed.widens else module

    def _own_randomness(self) -> AbstractContextManager[None]:
        """What is drawn while it is entered does not change what the user draws afterwards."""
        return torch.random.fork_rng([self.device] if self.device.type == "cuda" else [])


def _is_real(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _at_least_single(leaf: Any) -> Any:
    """Losses are formed in 32 bits or more, whatever the outputs came in."""
    return leaf.float() if isinstance(leaf, Tensor) and leaf.dtype in NARROW else leaf
