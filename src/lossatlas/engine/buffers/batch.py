"""Batch statistics."""

from __future__ import annotations

from typing import Self

from torch import nn

from lossatlas.charts import Chart
from lossatlas.data import Split
from lossatlas.engine.buffers_policy import BuffersPolicy, Prepared, Shared, find_normalisation_layers
from lossatlas.engine.private import Handed

__all__ = ["BatchStatistics"]


class BatchStatistics(BuffersPolicy):
    """Normalise by the statistics of the batch: the minibatch of a fit, or the evaluation batch of a survey."""

    record = "batch"
    varies = False
    follows_weights = True

    @classmethod
    def for_run(cls, train: Split, eval_batch_size: int, batches: int) -> Self:
        return cls()

    def check(self, module: nn.Module, chart: Chart) -> None:
        """Do nothing, since the policy suits every module."""

    def prepare(self, module: nn.Module, handed: Handed, chart: Chart) -> Prepared:
        parts = find_normalisation_layers(module).values()
        for part in parts:
            # Without running statistics torch normalises by the batch, in evaluation mode too, and writes nothing.
            part.running_mean = part.running_var = part.num_batches_tracked = None
            part.track_running_stats = False
        return Shared(module.eval(), couples_examples=bool(parts))
