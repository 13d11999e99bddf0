"""Statistics of the batch itself."""

from __future__ import annotations

from torch import nn

from lossatlas.engine.buffers_policy import BuffersPolicy, normalisations_with_statistics

__all__ = ["BatchStatistics"]


class BatchStatistics(BuffersPolicy):
    """Normalise by the statistics of the batch: a fit's minibatch, a survey's group of examples."""

    def check(self, module: nn.Module, has_centre: bool) -> None:
        """Every module has batches."""

    def prepare(self, module: nn.Module) -> nn.Module:
        for part in normalisations_with_statistics(module):
            # Without running statistics torch normalises by the batch, in evaluation mode too, and writes nothing.
            part.running_mean = part.running_var = part.num_batches_tracked = None
            part.track_running_stats = False
        return module.eval()
