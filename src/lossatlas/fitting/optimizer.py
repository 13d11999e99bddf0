"""The optimiser of charts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from lossatlas.bounds import Bounded, Decay, Positive, ToInfinity
from lossatlas.charts import Chart
from lossatlas.errors import BadInput

__all__ = ["Adam"]


@dataclass(frozen=True)
class Adam(Bounded):
    """Adam (Kingma & Ba 2015) on a chart's parameters, with the norm of the whole gradient clipped.

    Args:
        lr: the learning rate before its schedule.
        betas: decay rates of the two moments.
        max_norm: the gradient is scaled down to this norm; infinity leaves it as it is.
        factors: factors of the learning rate by name of the chart's parameter (``{"scale": 4.0}``).

    Raises:
        BadInput: a number outside its range.
    """

    lr: Positive = 1e-3
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    max_norm: ToInfinity = 100.0
    factors: Mapping[str, float] = field(default_factory=dict)

    def build(self, chart: Chart) -> torch.optim.Adam:
        """The torch optimiser of the chart's trained parameters, one group per parameter.

        Raises:
            BadInput: a factor names no parameter, or nothing is trained.
        """
        trained = {name: p for name, p in chart.named_parameters() if p.requires_grad}
        if not trained:
            raise BadInput("nothing of this chart is trained; expected at least one parameter with requires_grad")
        if missing := set(self.factors) - set(dict(chart.named_parameters())):
            raise BadInput(f"the chart has no parameter {min(missing)!r}; it has {', '.join(trained)}")
        rates = {name: self.lr * self.factors.get(name, 1.0) for name in trained}
        groups = [{"params": [p], "lr": rates[name], "base_lr": rates[name]} for name, p in trained.items()]
        return torch.optim.Adam(groups, betas=self.betas)
