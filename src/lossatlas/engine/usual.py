"""The default buffers policy, one rule for Python and for the command line."""

from __future__ import annotations

from torch import nn

from lossatlas.charts import Chart
from lossatlas.data import Split
from lossatlas.engine.buffers_policy import BUFFERS, BuffersPolicy, find_normalisation_layers
from lossatlas.errors import BadInput

__all__ = ["choose_buffers", "choose_policy"]

BATCHES = 8
"""The number of batches from which statistics are estimated, as on the command line."""


def choose_buffers(chart: Chart, module: nn.Module) -> str:
    """Choose the name of the default policy for a chart.

    - Between networks (lines, simplices, curves): ``reestimated``, as in appendix A.2 of Garipov et al. 2018 (arXiv
      1802.10026). If variances were interpolated like weights, they would become negative beyond the networks.
    - On a fitted chart: the policy of the fit.
    - Around one network: ``frozen``, so that the centre is the network as it was trained.
    - Through random weights, which have no statistics of their own: ``batch``.

    Without running statistics all policies are equivalent, and ``frozen`` is the cheapest.

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
    """Make the default policy for a chart, see :func:`choose_buffers`.

    Args:
        chart: where networks are evaluated.
        module: the network.
        train: the examples from which statistics are estimated, if they are.
        eval_batch_size: how many examples are evaluated together.

    Raises:
        BadInput: as :func:`choose_buffers`.
    """
    # One example has no variance.
    return BUFFERS[choose_buffers(chart, module)].for_run(train, max(eval_batch_size, 2), BATCHES)
