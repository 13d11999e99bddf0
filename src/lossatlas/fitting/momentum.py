"""Stochastic gradient descent with momentum on the parameters of a chart."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lossatlas.bounds import Bounded, Decay, Positive, ToInfinity
from lossatlas.charts import Chart
from lossatlas.fitting.optimizer import Adam

__all__ = ["Momentum"]


@dataclass(frozen=True)
class Momentum(Bounded):
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

    def build(self, chart: Chart) -> torch.optim.Optimizer:
        """Build the torch optimiser of the chart's trained parameters, with one parameter group for each.

        Raises:
            BadInput: the chart has nothing to train.
        """
        groups = Adam(self.lr, max_norm=self.max_norm).build(chart).param_groups
        own = [{name: group[name] for name in ("params", "lr", "base_lr")} for group in groups]
        return torch.optim.SGD(own, momentum=self.momentum)
