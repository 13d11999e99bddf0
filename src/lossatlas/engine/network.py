"""A problem as a function of its parameters: a private copy of the module under a buffers policy."""

from __future__ import annotations

import copy
import threading
import warnings
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.charts import Chart
from lossatlas.data import count_examples, take_rows
from lossatlas.engine.buffers_policy import BuffersPolicy, EachPoint, find_normalisation_layers
from lossatlas.engine.precisions import PRECISIONS, Precision
from lossatlas.engine.private import (
    NARROW,
    Handed,
    copy_private,
    copy_shared,
    drop_graph,
    force_plain_attention,
    install,
    unwrap,
)
from lossatlas.engine.purity import equal
from lossatlas.engine.sequential import merge_layers
from lossatlas.errors import BadInput, Caution
from lossatlas.hashing import fingerprint
from lossatlas.losses import Loss
from lossatlas.problem import Problem
from lossatlas.types import Batch, Outputs, Params
from lossatlas.weights import WeightSpace

__all__ = ["CHECKED_EXAMPLES", "Network"]

CHECKED_EXAMPLES = 8
"""On how many examples a network is tried before it is used."""


class Network:
    """A pure function ``(params, batch) -> (outputs, losses)``, which does not change the user's module.

    Args:
        problem: module, loss and feed.
        space: which parameters vary; the others keep the module's values.
        buffers: which statistics normalisation layers use.
        chart: where it will be evaluated.
        device: the device of the copy.

    Raises:
        BadInput: the policy is not defined for this module and chart, or the module cannot be copied.
    """

    def __init__(
        self,
        problem: Problem,
        space: WeightSpace,
        buffers: BuffersPolicy,
        chart: Chart,
        device: torch.device | str = "cpu",
    ) -> None:
        self.space = space
        self.varied = frozenset(entry.name for entry in space.entries)
        """The names of the parameters that the space spans."""
        self.handed = Handed(problem.feed, problem.loss)
        self.buffers = buffers.record
        self.follows_weights = buffers.follows_weights
        self.varies_buffers = buffers.varies
        self.has_statistics = bool(find_normalisation_layers(problem.module))
        """Whether the module has running statistics, so that the buffers policy matters."""
        buffers.check(problem.module, chart)
        self.device = torch.device(device)
        self.precision = "fp32"
        """The name of the precision."""
        self._precision: Precision = PRECISIONS["fp32"]()
        self.original = unwrap(problem.module)
        """The user's module, which is read and copied, never changed."""
        # Weights of 16 bits are too coarse for the steps of a map; layers under autocast have their own (see `at`).
        self.handed.widens = any(value.dtype in NARROW for value in self.original.parameters())
        self._prepared = buffers.prepare(self.copied(), self.handed, chart)
        self.module = self._prepared.module.requires_grad_(False)
        self._fresh = copy_shared(self.module)
        """A copy that is never called, since a module may be impossible to copy after a call."""
        self._merged = merge_layers(self._fresh)
        """A copy with merged layers, never called; None if there is nothing to merge, or results would differ."""
        self._recomputing: nn.Module | None = None
        """A copy that keeps the parameters of its last call, for modules whose backward pass reads them again."""
        self.has_gradient = True
        """Whether losses have a gradient with respect to the weights; False under ``torch.no_grad``, for instance."""
        self.checked = False
        """Whether it passed through :func:`~lossatlas.engine.checking.check_network`."""
        self._turn = _Turn()
        self.fingerprint = self._fingerprint()
        """A hash of everything that does not depend on the point: fixed parameters, buffers and names."""

    @property
    def loss(self) -> Loss:
        """The problem's loss, with open options decided on the first examples."""
        return self.handed.loss

    def __call__(self, params: Params, batch: Batch) -> tuple[Outputs, Tensor]:
        """Compute the outputs (B, ...) and losses (B,) of one network.

        Args:
            params: named parameters as :meth:`WeightSpace.unflatten` returns them; buffers may be among them.
            batch: a batch in the form that the feed takes.
        """
        return self.judge(self.respond(params, batch), batch)

    def respond(self, params: Params, batch: Batch) -> Outputs:
        """Compute what the loss is given of one network: its outputs (B, ...), or the losses of one that calls it."""
        if self.handed.widens:
            params = {name: _at_least_single(value) for name, value in params.items()}
        with self._precision.of_call(self.device):
            if self._recomputing is not None and torch.is_grad_enabled():
                outputs = self.handed.called_with(install(self._recomputing, self._all_names(params)), batch)
            else:
                outputs = self.handed.called(self.module, params, batch)
        return tree_map(_at_least_single, outputs)

    def judge(self, outputs: Outputs, batch: Batch) -> tuple[Outputs, Tensor]:
        """Compute the losses (B,) of one network from what :meth:`respond` returned; with the outputs, as calls do."""
        return self.handed.judged(outputs, batch)

    @property
    def keeps_graphs(self) -> bool:
        """Whether the graph of a call may be used after the next one; not if it reads the module's parameters again."""
        return self._recomputing is None

    @property
    def normalises_by_the_batch(self) -> bool:
        """Whether layers normalise by the batch, so that the loss of an example depends on the others in it."""
        groups = self._prepared.couples_examples and self.follows_weights
        return groups or _normalises_by_the_batch(self.module)

    def check_gradient(self) -> None:
        """Refuse to differentiate losses without a gradient, which is not the same as a gradient of zero.

        Raises:
            BadInput: the losses have no gradient.
        """
        if not self.has_gradient:
            raise BadInput(
                "the loss has no gradient in the weights: the forward pass or the loss works under torch.no_grad, or "
                "with integers; leave out what needs a gradient"
            )

    def tell_of_statistics(self) -> None:
        """Warn, once, that derivatives hold statistics fixed which points have of their own.

        Warns:
            Caution: layers normalise by statistics that depend on the point.
        """
        if not (self.varies_buffers and self.has_statistics) or self.handed.statistics_told:
            return
        self.handed.statistics_told = True
        warnings.warn(
            f"derivatives hold the statistics of normalisation of each point fixed ({self.buffers}): a Hessian or a "
            "gradient is that of the loss at fixed statistics, not of the loss whose statistics follow the weights; "
            "around one network, those of the network itself (--buffers frozen) make both one",
            Caution,
            stacklevel=2,
        )

    def calling(self) -> AbstractContextManager[object]:
        """A context for calls without gradients, to be entered in each thread; results may still have a graph."""
        return self.handed.calling()

    @property
    def differentiates(self) -> bool:
        """Whether calls differentiate with respect to inputs, so that each call needs a graph."""
        return self.handed.differentiates

    def uses(self, name: str) -> bool:
        """Whether calls use a function of torch, one of :data:`~lossatlas.engine.private.WATCHED`, as was observed."""
        return name in self.handed.uses

    def at(self, precision: str) -> Network:
        """Make the same function in another precision.

        Raises:
            BadInput: the device does not support the precision.
        """
        twin = copy.copy(self)
        twin.precision = precision
        twin._precision = PRECISIONS[precision]()
        twin._precision.check(self.device)
        return twin

    def in_force(self) -> AbstractContextManager[object]:
        """A context for all work of a strategy, backward passes included; for one thread at a time.

        Raises:
            BadInput: another thread has entered it.
        """
        stack = ExitStack()
        stack.enter_context(self._turn)
        stack.enter_context(self._precision.of_process())
        if self.differentiates:  # a gradient of the loss is a second derivative
            stack.enter_context(force_plain_attention())
        return stack

    def replica(self) -> Network:
        """Make the same function on a copy of the module, for another thread."""
        twin = copy.copy(self)
        twin.module = copy_shared(self._fresh)
        if self._recomputing is not None:
            twin._recomputing = copy.deepcopy(self.module)
        return twin

    def widened(self) -> Network:
        """Make the same function of weights and inputs in 64 bits, on a copy of the module."""
        twin = copy.copy(self)
        twin.handed = copy.copy(self.handed)
        twin.handed.widens = False
        twin._fresh = copy.deepcopy(self._fresh).double()
        twin.module = copy_shared(twin._fresh)
        twin._merged = None
        if self._recomputing is not None:
            twin._recomputing = copy.deepcopy(twin.module)
        return twin

    def merged(self) -> Network:
        """Make the same function with merged layers, see :mod:`lossatlas.engine.sequential`.

        The network itself if there is nothing to merge.
        """
        if self._merged is None:
            return self
        twin = copy.copy(self)
        twin._fresh = self._merged
        twin.module = copy_shared(self._merged)
        return twin

    def call_unmerged(self) -> None:
        """Disable merged layers from now on, because results would differ."""
        self._merged = None

    def with_buffers(self, each_point: EachPoint, params: Params, coefficients: Tensor) -> Params:
        """Add the buffers that points have of their own to named parameters (p, *shape).

        Args:
            each_point: applies a function at all points, as the strategy does.
            params: the parameters of the points by name, (p, *shape).
            coefficients: the coefficients of the points, (p, m).
        """
        return params | self._prepared.buffers(each_point, params, coefficients)

    def complete(self, params: Params) -> Params:
        """Complete the named tensors of one network to a state that ``load_state_dict`` takes, as a copy on the CPU.

        Args:
            params: parameters, and buffers, of one network by name; tied parameters under their first name.

        Raises:
            BadInput: the state of the module has parts that are not tensors.
        """
        # The module that is called lacks the statistics that its policy does without.
        state = {**self.original.state_dict(), **self.module.state_dict()}
        if odd := [name for name, value in state.items() if not isinstance(value, Tensor)]:
            raise BadInput(
                f"{odd[0]!r} in the state of the model is a {type(state[odd[0]]).__name__}, and a file of weights has "
                "tensors alone; keep such things outside of the state"
            )
        own = self._all_names(params)
        return {name: own.get(name, value).detach().cpu().clone() for name, value in state.items()}

    def _fingerprint(self) -> str:
        varied = {name for entry in self.space.entries for name in entry.names}
        state = {name: value for name, value in self.module.state_dict().items() if isinstance(value, Tensor)}
        unsaved = {name: value for name, value in self.module.named_buffers() if name not in state}
        held = ((name, tensor) for name, tensor in {**state, **unsaved}.items() if name not in varied)
        return fingerprint(held, kind=f"{[(entry.names, entry.shape) for entry in self.space.entries]}")

    def _all_names(self, params: Params) -> Params:
        """The parameters with tied ones under all of their names."""
        tied = {entry.name: entry.names for entry in self.space.entries if len(entry.names) > 1}
        return {each: value for name, value in params.items() for each in tied.get(name, (name,))}

    def can_cut(self, batch: Batch) -> bool:
        """Whether a batch may be evaluated in parts, because each example has outputs and a loss of its own."""
        couples = self._prepared.couples_examples or _normalises_by_the_batch(self.module)
        return self.loss.per_example and not couples and self.tells_apart(batch)

    def tells_apart(self, batch: Batch, *, outputs: bool = True) -> bool:
        """Whether examples are independent: a few have the same losses, and outputs, in one batch as in two halves.

        Not checked if the policy normalises by the batch, where a dependence is expected.
        """
        examples = min(CHECKED_EXAMPLES, count_examples(batch))
        if self._prepared.couples_examples or examples < 2:
            return True
        edges = (0, examples), (0, examples // 2), (examples // 2, examples)
        parts = (take_rows(batch, slice(*ends)) for ends in edges)
        with self.calling(), self.in_force():
            results = [drop_graph(self({}, part)) for part in parts]
        seen = results if outputs else [losses for _, losses in results]
        try:
            whole, *halves = seen
            joined = tree_map(lambda *leaves: torch.cat(leaves), *halves)
        except (RuntimeError, TypeError):  # something that does not run over examples
            return False
        return equal(tree_leaves(whole), tree_leaves(joined))

    def targets(self, batch: Batch) -> Any:
        """The targets of a batch, as the loss is given them."""
        return self.handed.targets(batch)

    def interleaved(self, first: Params, second: Params, batch: Batch) -> tuple[Outputs, Tensor]:
        """Outputs and losses with the first parameters, while a copy with the second ones is called before each layer.

        They are those of a call by itself, unless copies share something that their calls change.
        """
        one, other = self.replica(), self.replica()
        inside = False

        def between(*_: object) -> None:
            nonlocal inside
            if not inside:
                inside = True
                other(second, batch)
                inside = False

        for part in list(one.module.modules()):
            if not any(part.children()):
                part.register_forward_pre_hook(between)
        return one(first, batch)

    def recompute(self) -> None:
        """Keep parameters in place after calls with a graph from now on, for backward passes that read them again."""
        self._recomputing = copy.deepcopy(self.module)

    def copied(self) -> nn.Module:
        """Make a copy of the user's module on the device, in 32 bits at least."""
        module = copy_private(self.original).to(self.device)
        return module.float() if self.handed.widens else module


class _Turn:
    """A lock that refuses a second thread; networks that share a module share it.

    During a functional call the module has other parameters, which a second call would read and leave behind.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise BadInput(
                "an engine is called by two threads at once, and serves one at a time; make each thread or process an "
                "engine of its own"
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _normalises_by_the_batch(module: nn.Module) -> bool:
    """Whether there is a batch normalisation without statistics; it has no effect while its scales are zero."""
    return any(isinstance(part, _BatchNorm) and part.running_mean is None for part in module.modules())


def _at_least_single(leaf: Any) -> Any:
    """Convert outputs to 32 bits or more, in which losses are computed."""
    return leaf.float() if isinstance(leaf, Tensor) and leaf.dtype in NARROW else leaf
