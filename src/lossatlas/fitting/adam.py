"""Adam on the parameters of a chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from lossatlas.bounds import Decay, Positive, ToInfinity
from lossatlas.charts import Chart
from lossatlas.fitting.optimizer import ChartOptimizer, group_parameters
from lossatlas.weights import WeightSpace

__all__ = ["Adam"]


@dataclass(frozen=True)
class Adam(ChartOptimizer):
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

    def build(self, chart: Chart, space: WeightSpace | None = None) -> torch.optim.Adam:
        return torch.optim.Adam(group_parameters(chart, self.lr, self.factors), betas=self.betas)
