"""Adam on the parameters of a chart."""

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
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) on the parameters of a chart, with the gradient norm clipped.

    Args:
        lr: the learning rate, which a schedule multiplies by a factor.
        betas: decay rates of the running means of the gradient and of its square.
        max_norm: the largest Euclidean norm of the whole gradient, which is scaled down to it; infinity does not clip.
        factors: factors of the learning rate by the name of the chart's parameter (``{"scale": 4.0}``).

    Raises:
        BadInput: a number is outside its range.

    >>> import torch, lossatlas as la
    >>> plane = la.Plane.random(torch.nn.Linear(4, 2), initialiser=la.Xavier(), scale=2.0)
    >>> optimizer = la.Adam(lr=5e-3, factors={"scale": 4.0}).build(plane)
    >>> sorted({group["lr"] for group in optimizer.param_groups})
    [0.005, 0.02]
    """

    lr: Positive = 1e-3
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    max_norm: ToInfinity = 100.0
    factors: Mapping[str, float] = field(default_factory=dict)

    def build(self, chart: Chart) -> torch.optim.Adam:
        """Build the torch optimiser of the chart's trained parameters, with one parameter group for each.

        Raises:
            BadInput: a factor names a parameter that the chart does not have, or the chart has nothing to train.
        """
        trained = {name: p for name, p in chart.named_parameters() if p.requires_grad}
        if not trained:
            raise BadInput("the chart has nothing to train; expected at least one parameter that requires gradients")
        if missing := set(self.factors) - set(dict(chart.named_parameters())):
            raise BadInput(f"{min(missing)!r} is not a parameter of the chart; expected one of {', '.join(trained)}")
        rates = {name: self.lr * self.factors.get(name, 1.0) for name in trained}
        groups = [{"params": [p], "lr": rates[name], "base_lr": rates[name]} for name, p in trained.items()]
        return torch.optim.Adam(groups, betas=self.betas)
