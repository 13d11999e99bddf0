"""The problem as a function of its parameters: a private copy of the module under a buffers policy."""

from __future__ import annotations

import copy
import threading
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.charts import CoefficientChart
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
from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.losses import Loss
from lossatlas.problem import Problem
from lossatlas.types import Batch, Outputs, Params
from lossatlas.weights import WeightSpace

__all__ = ["CHECKED_EXAMPLES", "Network"]

CHECKED_EXAMPLES = 8
"""On how many examples a network is tried before it is used."""


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
        self.has_statistics = bool(find_normalisation_layers(problem.module))
        """Whether running statistics are kept, so that a buffers policy makes a difference."""
        buffers.check(problem.module, chart)
        self.device = torch.device(device)
        self.precision = "fp32"
        """By name."""
        self._precision: Precision = PRECISIONS["fp32"]()
        self.original = unwrap(problem.module)
        """The user's own module: to be read and copied, never changed."""
        # Numbers of 16 bits are too coarse for the steps of a map; layers in autocast choose their own (see `at`).
        self.handed.widens = any(value.dtype in NARROW for value in self.original.parameters())
        self._prepared = buffers.prepare(self.copied(), self.handed, chart)
        self.module = self._prepared.module.requires_grad_(False)
        self._fresh = copy_shared(self.module)
        """The same, never called: what calls leave behind in a module need not have a copy."""
        self._merged = merge_layers(self._fresh)
        """With layers merged, never called either; None where there are none, or other numbers come of it."""
        self._recomputing: nn.Module | None = None
        """A copy that keeps the parameters of its last call, for modules whose backward pass reads them again."""
        self.has_gradient = True
        """Whether losses have a gradient in the weights; not where the forward pass works under ``torch.no_grad``."""
        self.checked = False
        """Whether it passed through :func:`~lossatlas.engine.checking.check_network`."""
        self._turn = _Turn()
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
                outputs = self.handed.called(self.module, params, batch)
        outputs = tree_map(_at_least_single, outputs)
        return self.handed.judged(outputs, batch)

    def check_gradient(self) -> None:
        """Refuse to differentiate what has no gradient: zero would not be true.

        Raises:
            BadInput: it has none.
        """
        if not self.has_gradient:
            raise BadInput(
                "the loss has no gradient in the weights: the forward pass or the loss works under torch.no_grad, or "
                "with whole numbers; leave out what needs one"
            )

    def calling(self) -> AbstractContextManager[object]:
        """To be entered, in each thread, around calls whose results are wanted without a graph; they may carry one."""
        return self.handed.calling()

    @property
    def differentiates(self) -> bool:
        """Whether it is differentiated by its inputs as it is called, so that every call takes a graph."""
        return self.handed.differentiates

    def uses(self, name: str) -> bool:
        """Whether calls were seen to use a function of torch, of those in :data:`~lossatlas.engine.private.WATCHED`."""
        return name in self.handed.uses

    def at(self, precision: str) -> Network:
        """The same function in another precision.

        Raises:
            BadInput: the device has no such numbers.
        """
        twin = copy.copy(self)
        twin.precision = precision
        twin._precision = PRECISIONS[precision]()
        twin._precision.check(self.device)
        return twin

    def in_force(self) -> AbstractContextManager[object]:
        """To be entered around everything that a strategy does with it, backwards too; by one thread at a time.

        Raises:
            BadInput: another thread is inside.
        """
        stack = ExitStack()
        stack.enter_context(self._turn)
        stack.enter_context(self._precision.of_process())
        if self.differentiates:  # a gradient of the loss is a second derivative
            stack.enter_context(force_plain_attention())
        return stack

    def replica(self) -> Network:
        """The same function on a copy of the module, for another thread."""
        twin = copy.copy(self)
        twin.module = copy_shared(self._fresh)
        if self._recomputing is not None:
            twin._recomputing = copy.deepcopy(self.module)
        return twin

    def merged(self) -> Network:
        """The same function with fewer passes over memory; see :mod:`lossatlas.engine.sequential`.

        The network itself where there are none to save.
        """
        if self._merged is None:
            return self
        twin = copy.copy(self)
        twin._fresh = self._merged
        twin.module = copy_shared(self._merged)
        return twin

    def call_unmerged(self) -> None:
        """From now on no layers are merged: the module makes other numbers of that."""
        self._merged = None

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
        state = {name: value for name, value in self.module.state_dict().items() if isinstance(value, Tensor)}
        unsaved = {name: value for name, value in self.module.named_buffers() if name not in state}
        held = ((name, tensor) for name, tensor in {**state, **unsaved}.items() if name not in varied)
        return fingerprint(held, kind=f"{[(entry.names, entry.shape) for entry in self.space.entries]}")

    def _all_names(self, params: Params) -> Params:
        """Under every name of a tied parameter."""
        tied = {entry.name: entry.names for entry in self.space.entries if len(entry.names) > 1}
        return {each: value for name, value in params.items() for each in tied.get(name, (name,))}

    def can_cut(self, batch: Batch) -> bool:
        """Whether a group of examples may be evaluated part by part: each has a loss and outputs of its own."""
        couples = self._prepared.couples_examples or _normalises_by_the_batch(self.module)
        return self.loss.per_example and not couples and self.tells_apart(batch)

    def tells_apart(self, batch: Batch, *, outputs: bool = True) -> bool:
        """Whether a few examples have the same losses, and outputs, together as in two halves.

        Where the policy normalises by the batch they need not, and nobody is surprised; that is not looked at.
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
        """What the loss compares a batch's outputs with."""
        return self.handed.targets(batch)

    def interleaved(self, first: Params, second: Params, batch: Batch) -> tuple[Outputs, Tensor]:
        """Outputs and losses of a copy with the first parameters, and of no other call.

        Unless copies share what their calls change: another one is called with the second before each layer.
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
        """From now on calls with a graph keep their parameters in place, for backward passes that read them again."""
        self._recomputing = copy.deepcopy(self.module)

    def copied(self) -> nn.Module:
        """A copy of the user's module on the device, in 32 bits at least."""
        module = copy_private(self.original).to(self.device)
        return module.float() if self.handed.widens else module


class _Turn:
    """Lets one thread in, and refuses others meanwhile; networks that share a module share it.

    A functional call has other parameters in the module's places as long as it lasts: whoever calls it then finds
    those, and leaves them behind.
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
    """Whether there is a batch normalisation without statistics, which shows nothing while its scales are zero."""
    return any(isinstance(part, _BatchNorm) and part.running_mean is None for part in module.modules())


def _at_least_single(leaf: Any) -> Any:
    """Losses are formed in 32 bits or more, whatever the outputs came in."""
    return leaf.float() if isinstance(leaf, Tensor) and leaf.dtype in NARROW else leaf
