"""The interface of optimisers of the parameters of a chart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch

from lossatlas.bounds import Bounded, Positive, ToInfinity
from lossatlas.charts import Chart
from lossatlas.errors import BadInput
from lossatlas.weights import WeightSpace

__all__ = ["ChartOptimizer", "group_parameters"]


class ChartOptimizer(Bounded, ABC):
    """The settings of an optimiser of a chart's parameters, from which the torch optimiser of one chart is built.

    A frozen dataclass.
    """

    lr: Positive
    """The learning rate, which a schedule multiplies by a factor."""
    max_norm: ToInfinity
    """The largest Euclidean norm of the whole gradient, which is scaled down to it."""

    @abstractmethod
    def build(self, chart: Chart, space: WeightSpace) -> torch.optim.Optimizer:
        """Build the torch optimiser of the chart's trained parameters, with one parameter group for each.

        A group's ``base_lr`` is its learning rate before the schedule.

        Args:
            chart: the chart.
            space: the parameters of networks that it spans.

        Raises:
            BadInput: the chart has nothing to train.
        """


def group_parameters(chart: Chart, lr: float, factors: Mapping[str, float]) -> list[dict[str, Any]]:
    """Make a parameter group for each trained parameter of a chart.

    Args:
        chart: the chart.
        lr: the learning rate.
        factors: factors of the learning rate by the name of the chart's parameter.

    Raises:
        BadInput: a factor names a parameter that the chart does not have, or the chart has nothing to train.
    """
    trained = {name: p for name, p in chart.named_parameters() if p.requires_grad}
    if not trained:
        raise BadInput("the chart has nothing to train; expected at least one parameter that requires gradients")
    if missing := set(factors) - set(dict(chart.named_parameters())):
        raise BadInput(f"{min(missing)!r} is not a parameter of the chart; expected one of {', '.join(trained)}")
    rates = {name: lr * factors.get(name, 1.0) for name in trained}
    return [{"params": [p], "lr": rates[name], "base_lr": rates[name]} for name, p in trained.items()]
