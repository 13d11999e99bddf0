"""The problem as a function of its parameters: a private copy of the module under a buffers policy."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.utils._pytree import tree_map

from lossatlas.charts import CoefficientChart
from lossatlas.data import Split
from lossatlas.engine.buffers_policy import BuffersPolicy, EachPoint
from lossatlas.engine.precision import PRECISIONS, Precision
from lossatlas.engine.purity import check_pure
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
        BadInput: the policy has no meaning for this module and chart.
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
        self.feed = problem.feed
        self.buffers = buffers.record
        self.follows_weights = buffers.follows_weights
        self.varies_buffers = buffers.varies
        buffers.check(problem.module, chart)
        self.device = torch.device(device)
        self._precision: Precision = PRECISIONS["fp32"]()
        self._prepared = buffers.prepare(copy.deepcopy(problem.module).to(device), problem.feed, chart)
        self._module = self._prepared.module.requires_grad_(False)
        self.fingerprint = self._fingerprint()
        """A hash of everything that is the same at every point: held parameters, buffers and their names."""

    def __call__(self, params: Params, batch: Batch) -> tuple[Outputs, Tensor]:
        """Outputs (B, ...) and losses (B,) of one network.

        Args:
            params: of their own shapes, as :meth:`WeightSpace.unflatten` returns them; buffers may be among them.
            batch: what the feed takes.
        """
        args, kwargs = self.feed.inputs(batch)
        with self._precision.of_call(self.device):
            outputs = self.feed.output(functional_call(self._module, params, args, kwargs))
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
        held = ((name, tensor) for name, tensor in self._module.state_dict().items() if name not in varied)
        return fingerprint(held, kind=f"{[(entry.names, entry.shape) for entry in self.space.entries]}")

    def targets(self, batch: Batch) -> Any:
        """What the loss compares a batch's outputs with."""
        return self.feed.targets(batch)

    def check(self, split: Split) -> None:
        """Call the network on a few examples and refuse what cannot be fitted or surveyed.

        Raises:
            BadInput: the module fails on these examples, is random or writes to a buffer in evaluation mode, its output
                does not fit the loss, a label lies outside the outputs, or the loss is not one number per example.
        """
        batch = split.take(torch.arange(min(CHECKED_EXAMPLES, len(split))))
        examples = min(CHECKED_EXAMPLES, len(split))
        try:
            args, kwargs = self.feed.inputs(batch)
            targets, all_targets = self.feed.targets(batch), self.feed.targets(split.data)
            with torch.no_grad(), self._own_randomness():
                outputs = self.feed.output(self._module(*args, **kwargs))
        except Exception as error:  # the user's own module and data may fail in any way
            raise BadInput(f"the model fails on these data: {first_line(error)}") from error
        with self._own_randomness():
            check_pure(self._module, lambda: self._module(*args, **kwargs))
        self.loss.check(outputs, targets, all_targets)
        try:
            losses = self.loss(outputs, targets)
        except Exception as error:  # and so may the user's loss
            raise BadInput(f"the loss fails on the model's output: {first_line(error)}") from error
        if tuple(losses.shape) != (examples,):
            raise BadInput(
                f"the loss returned shape {tuple(losses.shape)} for {examples} examples; expected ({examples},), one "
                "loss per example (reduction='none')"
            )

    def _own_randomness(self) -> AbstractContextManager[None]:
        """What is drawn while it is entered does not change what the user draws afterwards."""
        return torch.random.fork_rng([self.device] if self.device.type == "cuda" else [])


def _at_least_single(leaf: Any) -> Any:
    """Losses are formed in 32 bits or more, whatever the outputs came in."""
    return leaf.float() if isinstance(leaf, Tensor) and leaf.dtype in (torch.bfloat16, torch.float16) else leaf
