"""What running statistics mean where nobody says so: one rule, for Python and for the command line."""

from __future__ import annotations

from torch import nn

from lossatlas.charts import Chart
from lossatlas.data import Split
from lossatlas.engine.buffers_policy import BUFFERS, BuffersPolicy, find_normalisation_layers
from lossatlas.errors import BadInput

__all__ = ["choose_buffers", "choose_policy"]

BATCHES = 8
"""Batches of examples that statistics are estimated from, as on the command line."""


def choose_buffers(chart: Chart, module: nn.Module) -> str:
    """The name of the policy that fits where a chart lies.

    - Between networks (lines, simplices, curves): ``reestimated``, as in appendix A.2 of Garipov et al. 2018 (arXiv
      1802.10026). Interpolated like weights, variances are negative not far beyond the networks.
    - On a chart that was fitted: what the fit used.
    - Around one network: ``frozen``, so that the centre is the network as it was trained.
    - Through random weights, which have no statistics of their own: ``batch``.

    Without running statistics all are one, and it is the cheapest.

    Args:
        chart: where networks are evaluated.
        module: the network.

    Raises:
        BadInput: the chart was fitted under a policy that lossatlas does not know.
    """
    if not find_normalisation_layers(module):
        return "frozen"
    if chart.joins_networks:
        return "reestimated"
    if chart.fitted_under:
        if chart.fitted_under not in BUFFERS:
            raise BadInput(f"the chart was fitted under a policy of its own, {chart.fitted_under}; give it as buffers")
        return chart.fitted_under
    return "frozen" if chart.centred else "batch"


def choose_policy(chart: Chart, module: nn.Module, train: Split, eval_batch_size: int) -> BuffersPolicy:
    """The policy of :func:`choose_buffers`.

    Args:
        chart: where networks are evaluated.
        module: the network.
        train: examples that statistics are estimated from, where they are.
        eval_batch_size: how many of them are evaluated together.

    Raises:
        BadInput: as :func:`choose_buffers`.
    """
    # One example has no variance.
    return BUFFERS[choose_buffers(chart, module)].for_run(train, max(eval_batch_size, 2), BATCHES)
