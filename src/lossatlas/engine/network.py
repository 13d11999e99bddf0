"""The problem as a function of its parameters: a private copy of the module under a buffers policy."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.charts import CoefficientChart
from lossatlas.data import Split
from lossatlas.engine.buffers_policy import BuffersPolicy, EachPoint, normalisations_with_statistics
from lossatlas.engine.precision import PRECISIONS, Precision
from lossatlas.engine.private import NARROW, Handed, install, private_copy
from lossatlas.engine.purity import check_pure, equal, recomputes
from lossatlas.errors import BadInput, first_line
from lossatlas.hashing import fingerprint
from lossatlas.problem import Problem
from lossatlas.types import Batch, Outputs, Params
from lossatlas.weights import WeightSpace

__all__ = ["Network"]

CHECKED_EXAMPLES = 8


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
        self.loss = problem.loss
        self.feed = Handed(problem.feed)
        self.buffers = buffers.record
        self.follows_weights = buffers.follows_weights
        self.varies_buffers = buffers.varies
        self.has_statistics = bool(normalisations_with_statistics(problem.module))
        """Whether running statistics are kept, so that a buffers policy makes a difference."""
        buffers.check(problem.module, chart)
        self.device = torch.device(device)
        self._precision: Precision = PRECISIONS["fp32"]()
        module = private_copy(problem.module).to(device)
        # Numbers of 16 bits are too coarse for the steps of a map; layers in autocast choose their own (see `at`).
        self.feed.widens = any(value.dtype in NARROW for value in module.parameters())
        module = module.float() if self.feed.widens else module
        self._prepared = buffers.prepare(module, self.feed, chart)
        self._module = self._prepared.module.requires_grad_(False)
        self._recomputing: nn.Module | None = None
        """A copy that keeps the parameters of its last call, for modules whose backward pass reads them again."""
        self._tried = False
        self.fingerprint = self._fingerprint()
        """A hash of everything that is the same at every point: held parameters, buffers and their names."""

    def __call__(self, params: Params, batch: Batch) -> tuple[Outputs, Tensor]:
        """Outputs (B, ...) and losses (B,) of one network.

        Args:
            params: of their own shapes, as :meth:`WeightSpace.unflatten` returns them; buffers may be among them.
            batch: what the feed takes.
        """
        args, kwargs = self.feed.inputs(batch)
        if self.feed.widens:
            params = {name: _at_least_single(value) for name, value in params.items()}
        with self._precision.of_call(self.device):
            if self._recomputing is not None and torch.is_grad_enabled():
                returned = install(self._recomputing, self._all_names(params))(*args, **kwargs)
            else:
                returned = functional_call(self._module, params, args, kwargs)
            outputs = self.feed.output(returned)
        outputs = tree_map(_at_least_single, outputs)
        return outputs, self.loss(outputs, self.feed.targets(batch))

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

    def targets(self, batch: Batch) -> Any:
        """What the loss compares a batch's outputs with."""
        return self.feed.targets(batch)

    def check(self, split: Split) -> None:
        """Call the network on a few examples and refuse what cannot be fitted or surveyed.

        What can be served with more effort is noted: modules that write to their inputs, and those whose backward pass
        reads their parameters again.

        Raises:
            BadInput: the module fails on these examples, is random, writes to a parameter or a buffer in evaluation
                mode or keeps what it computed from parameters, its output does not fit the loss, a label lies outside
                the outputs, or the loss is not one number per example.
        """
        examples = min(CHECKED_EXAMPLES, len(split))
        batch = split.take(torch.arange(examples))
        first, self._tried = not self._tried, True
        fresh = copy.deepcopy(self._module) if first else None
        try:
            args, kwargs = self.feed.inputs(batch)
            given = tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, (args, kwargs))
            targets, all_targets = self.feed.targets(batch), self.feed.targets(split.data)
            with torch.no_grad(), self._own_randomness():
                outputs = self.feed.output(self._module(*args, **kwargs))
        except BadInput:
            raise
        except Exception as error:  # the user's own module and data may fail in any way
            raise BadInput(f"the model fails on these data: {first_line(error)}") from error
        self.feed.copies |= not equal(tree_leaves((args, kwargs)), tree_leaves(given), exactly=True)
        with self._own_randomness():
            check_pure(self._module, lambda: self._called(self._module, {}, *given))
            if fresh is not None:
                self._check_follows(fresh, *given)
        self.loss.check(outputs, targets, all_targets)
        try:
            losses = self.loss(outputs, targets)
        except BadInput:
            raise
        except Exception as error:  # and so may the user's loss
            raise BadInput(f"the loss fails on the model's output: {first_line(error)}") from error
        found = f"shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else type(losses).__name__
        if found != f"shape {(examples,)}":
            raise BadInput(
                f"the loss returned {found} for {examples} examples; expected ({examples},), one loss per example "
                "(reduction='none'), or a mean in a BatchMean"
            )
        if first and self._recomputes(split.take(torch.arange(examples))):
            self._recomputing = copy.deepcopy(self._module)

    def _called(self, module: nn.Module, params: Params, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the loss sees of a module that may write to its inputs."""
        args, kwargs = self.feed.handed(args, kwargs)
        return self.feed.output(functional_call(module, params, args, kwargs))

    def _check_follows(self, fresh: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse a module that was called at its own parameters and remembers them elsewhere.

        Args:
            fresh: the same module, which was never called before.
            args: the module's.
            kwargs: likewise.
        """
        own = dict(self._module.named_parameters(remove_duplicate=False))
        elsewhere = {name: 1.05 * own[name].detach() + 0.01 for name in self.varied}
        with torch.no_grad():
            try:
                expected = self._called(fresh, elsewhere, args, kwargs)
            except Exception:  # it need not be defined there
                return
            found = self._called(self._module, elsewhere, args, kwargs)
        if not equal(tree_leaves(expected), tree_leaves(found)):
            raise BadInput(
                "the model's output depends on earlier calls: it keeps something that it computed from its parameters; "
                "expected a function of parameters and inputs, so compute it anew in each call"
            )

    def _recomputes(self, batch: Batch) -> bool:
        own = dict(self._module.named_parameters(remove_duplicate=False))
        params = {name: own[name].detach().requires_grad_() for name in self.varied}
        try:
            with torch.enable_grad(), self._own_randomness():
                total = self(params, batch)[1].sum()
                return total.requires_grad and recomputes(
                    self._module, lambda: torch.autograd.grad(total, [*params.values()], allow_unused=True)
                )
        except Exception:  # a strategy that needs the gradient says what is wrong with it
            return False

    def _own_randomness(self) -> AbstractContextManager[None]:
        """What is drawn while it is entered does not change what the user draws afterwards."""
        return torch.random.fork_rng([self.device] if self.device.type == "cuda" else [])


def _at_least_single(leaf: Any) -> Any:
    """Losses are formed in 32 bits or more, whatever the outputs came in."""
    return leaf.float() if isinstance(leaf, Tensor) and leaf.dtype in NARROW else leaf
