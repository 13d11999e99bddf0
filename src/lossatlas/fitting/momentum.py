"""Stochastic gradient descent for charts."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lossatlas.bounds import Bounded, Decay, Positive, ToInfinity
from lossatlas.charts import Chart
from lossatlas.fitting.optimizer import Adam

__all__ = ["Momentum"]


@dataclass(frozen=True)
class Momentum(Bounded):
    """Gradient descent with momentum on a chart's parameters, as curves are trained by Garipov et al. 2018.

    Args:
        lr: the learning rate before its schedule.
        momentum: the share of a step that the next one keeps.
        max_norm: the gradient is scaled down to this norm; infinity leaves it as it is.

    Raises:
        BadInput: a number outside its range.
    """

    lr: Positive = 0.02
    momentum: Decay = 0.9
    max_norm: ToInfinity = 100.0

    def build(self, chart: Chart) -> torch.optim.Optimizer:
        """The torch optimiser of the chart's trained parameters, one group per parameter.

        Raises:
            BadInput: nothing is trained.
        """
        groups = Adam(self.lr, max_norm=self.max_norm).build(chart).param_groups
        own = [{name: group[name] for name in ("params", "lr", "base_lr")} for group in groups]
        return torch.optim.SGD(own, momentum=self.momentum)
