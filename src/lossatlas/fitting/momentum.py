"""Stochastic gradient descent with momentum on the parameters of a chart."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lossatlas.bounds import Decay, Positive, ToInfinity
from lossatlas.charts import Chart
from lossatlas.fitting.optimizer import ChartOptimizer, group_parameters
from lossatlas.weights import WeightSpace

__all__ = ["Momentum"]


@dataclass(frozen=True)
class Momentum(ChartOptimizer):
    """Stochastic gradient descent with momentum on the parameters of a chart (Garipov et al. 2018, arXiv 1802.10026).

    Args:
        lr: the learning rate, which a schedule multiplies by a factor.
        momentum: the factor by which the previous update enters the next one.
        max_norm: the largest Euclidean norm of the whole gradient, which is scaled down to it; infinity does not clip.

    Raises:
        BadInput: a number is outside its range.

    >>> import torch, lossatlas as la
    >>> start, end = torch.randn(2, 10)
    >>> curve = la.Bezier(torch.stack([start, (start + end) / 2, end]))
    >>> la.Momentum(lr=0.05).build(curve).param_groups[0]["momentum"]
    0.9
    """

    lr: Positive = 0.02
    momentum: Decay = 0.9
    max_norm: ToInfinity = 100.0

    def build(self, chart: Chart, space: WeightSpace | None = None) -> torch.optim.Optimizer:
        return torch.optim.SGD(group_parameters(chart, self.lr, {}), momentum=self.momentum)
