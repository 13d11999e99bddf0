"""Running statistics estimated at every point."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from lossatlas.charts import Chart
from lossatlas.data import Split
from lossatlas.engine.buffers.batch import BatchStatistics
from lossatlas.engine.buffers_policy import (
    BuffersPolicy,
    EachPoint,
    Prepared,
    Shared,
    find_normalisation_layers,
)
from lossatlas.engine.private import Handed
from lossatlas.errors import BadInput
from lossatlas.streams import make_generator
from lossatlas.types import Batch, Params, Source

__all__ = ["ReestimatedStatistics"]


class ReestimatedStatistics(BuffersPolicy):
    """Estimate running statistics at each point, as the mean of the statistics of k training batches.

    These are the statistics after k passes in training mode with a cumulative average (``momentum=None``), with which
    Garipov et al. 2018 (arXiv 1802.10026) evaluate the points of a curve.

    Args:
        examples: training examples, in any form that :meth:`Split.of` takes, of which a fixed random subset is used.
        batches: the number of batches.
        size: the number of examples per batch.

    Raises:
        BadInput: fewer than one batch, or batches of fewer than two examples.
    """

    varies = True
    follows_weights = False

    def __init__(self, examples: Split | Source, batches: int = 8, size: int = 500) -> None:
        if batches < 1 or size < 2:
            raise BadInput(f"statistics from {batches} batches of {size} examples; expected at least 1 of 2")
        self._examples = Split.of(examples).subset(batches * size, make_generator(0, "buffers"))
        self._size = size
        self.passes = len(self._examples)
        groups = -(-len(self._examples) // size)
        if len(self._examples) // groups < 2:  # one example has no variance
            raise BadInput(
                f"statistics from {len(self._examples)} examples, {size} together, leave one by itself; expected two "
                "in each batch at least"
            )
        self.record = f"reestimated from {len(self._examples)} examples, {size} together"
        self.record += f" ({self._examples.fingerprint()[:8]})"

    @classmethod
    def for_run(cls, train: Split, eval_batch_size: int, batches: int) -> Self:
        return cls(train, batches, eval_batch_size)

    def check(self, module: nn.Module, chart: Chart) -> None:
        """Do nothing, since the policy suits every module."""

    def prepare(self, module: nn.Module, handed: Handed, chart: Chart) -> Prepared:
        if not find_normalisation_layers(module):
            return Shared(module.eval())
        estimating = BatchStatistics().prepare(copy.deepcopy(module), handed, chart).module
        return _Reestimated(module.eval(), estimating, handed, self._examples, self._size)


class _Reestimated(Prepared):
    def __init__(self, module: nn.Module, estimating: nn.Module, handed: Handed, examples: Split, size: int) -> None:
        self.module = module
        # Statistics come from whole batches, so that a batch that does not fit the memory has to be made smaller.
        self.couples_examples = bool(find_normalisation_layers(module))
        self._estimating = estimating.requires_grad_(False)
        self._handed = handed
        self._examples = examples
        self._size = size
        self._seen: dict[str, list[Tensor]] = {}
        for name in find_normalisation_layers(module):
            estimating.get_submodule(name).register_forward_pre_hook(self._watch(name), with_kwargs=True)

    def buffers(self, each_point: EachPoint, params: Params, coefficients: Tensor) -> Params:
        total: Params = {}
        batches = 0
        for batch in self._examples.eval_batches(self._size):
            with self._handed.calling():
                found = each_point(self._statistics_of(batch), params)
            total = {name: total[name] + value if total else value for name, value in found.items()}
            batches += 1
        return {name: value / batches for name, value in total.items()}

    def _statistics_of(self, batch: Batch) -> Callable[[Params], Params]:
        def statistics(params: Params) -> Params:
            self._seen = {}
            self._handed.called(self._estimating, params, batch)
            # A layer that is called several times has the mean over its calls, as with a cumulative average.
            return {name: torch.stack(found).mean(dim=0) for name, found in self._seen.items()}

        return statistics

    def _watch(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        """Make a hook that records the statistics of the layer's inputs, with unbiased variances."""

        def watch(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            features: Tensor = next(each for each in (*args, *kwargs.values()) if isinstance(each, Tensor))
            # Instance normalisation averages the statistics of the examples.
            first = 2 if isinstance(part, _InstanceNorm) else 0
            rest = [axis for axis in range(first, features.ndim) if axis != 1]
            features = features.detach()
            mean, variance = features.mean(dim=rest), features.var(dim=rest, unbiased=True)
            for what, found in (("mean", mean), ("var", variance)):
                seen = self._seen.setdefault(f"{name}.running_{what}", [])
                seen.append(found.mean(dim=0) if first else found)

        return watch
