"""A term that keeps a curved chart near isometric, beside any objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from lossatlas.charts import CoefficientChart, check_controls
from lossatlas.engine import StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.objectives.objective import Objective, SampledPoints
from lossatlas.objectives.scoring import Scoring
from lossatlas.types import Outputs

__all__ = ["Isometric"]


@final
class Isometric(Objective):
    """An objective plus ``weight * E ||G(c) / lambda - I||_F^2`` over the points that each of its steps samples.

    G(c) (d, d) is the Gram matrix of the derivatives of the chart along its d axes, its first fundamental form, and
    ``lambda = E tr G / d`` is one number for all points of the step, so that the term does not depend on the chart's
    scale: it is 0 exactly where the chart is an isometry up to one factor, as a plane is, and large where it stretches,
    shears or folds. lambda is differentiated with the rest. The term is therefore constant under scaling of the chart,
    and its gradient neither shrinks nor grows it.

    Stages, state, reports and the score on held-out examples are those of the objective, and each step reports the term
    without its weight as ``isometry``.

    Args:
        objective: which points are sampled, and what is asked of their losses.
        chart: the chart that is fitted.
        weight: the factor of the term, 0 or more.

    Raises:
        BadInput: a weight that is negative or not finite, or a chart along other axes, without controls or with trained
            coefficients; in a step: a chart without derivatives, such as one of several repeats.

    Example:
        >>> import torch, lossatlas as la
        >>> chart = la.Spline(torch.randn(16, 50), net=(4, 4), degree=(2, 2))
        >>> objective = la.Isometric(la.Pattern(la.picture("heart", 12), cells=8), chart, weight=0.1)
        >>> sampled = objective.sample(seed=0, step=0, progress=0.0, running={})
        >>> sampled.coords.shape, sampled.tangents.shape
        (torch.Size([16, 2]), torch.Size([16, 16, 2]))
    """

    def __init__(self, objective: Objective, chart: CoefficientChart, weight: float) -> None:
        if not 0 <= weight < float("inf"):
            raise BadInput(f"the isometry weight is {weight}; expected 0 or a positive number")
        check_controls(chart, "an isometric fit")
        if objective.axes != chart.axes:
            raise BadInput(
                f"the objective runs along {', '.join(objective.axes)}, the chart along {', '.join(chart.axes)}; "
                "expected the same axes"
            )
        self.objective = objective
        self.chart = chart
        self.weight = weight
        self.axes = objective.axes
        self.most_points = objective.most_points
        self.per_example = objective.per_example
        self.scored_by = objective.scored_by

    def _describe(self) -> str:
        return f"{self.objective!r}, weight {self.weight:g}"

    def sample(self, seed: int, step: int, progress: float, running: Mapping[str, float]) -> SampledPoints:
        inner = self.objective.sample(seed, step, progress, running)
        tangents = self.chart.derivatives(inner.coords)
        if tangents.requires_grad:
            raise BadInput("the isometry of a chart is not differentiated in trained coefficients; hold them")
        if not tangents.isfinite().all():
            raise BadInput(f"{type(self.chart).__name__} has no derivatives at the sampled points; leave out isometry")
        return _IsometricPoints(inner, tangents, self.weight)

    def make_scoring(self, most: int, metrics: Mapping[str, StreamingMetric]) -> Scoring | None:
        """Make that of the objective: how isometric a chart is does not depend on examples."""
        return self.objective.make_scoring(most, metrics)

    @property
    def stage(self) -> int:
        return self.objective.stage

    @property
    def final(self) -> bool:
        return self.objective.final

    @property
    def last(self) -> Objective:
        return Isometric(self.objective.last, self.chart, self.weight)

    def state(self) -> dict[str, Any]:
        return self.objective.state()

    def restore(self, state: dict[str, Any]) -> None:
        self.objective.restore(state)


@final
class _IsometricPoints(SampledPoints):
    """The points of a step of another objective, and the derivatives of the chart there."""

    def __init__(self, inner: SampledPoints, tangents: Tensor, weight: float) -> None:
        self.coords = inner.coords
        self.coupled = inner.coupled
        self.sees_outputs = inner.sees_outputs
        self.geometric = inner.geometric
        self.tangents = tangents
        self._inner = inner
        self._weight = weight
        self._isometry: float | None = None

    def see(self, loss: Loss, targets: Any) -> None:
        self._inner.see(loss, targets)

    def value(self, outputs: Outputs, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        return self._inner.value(outputs, losses, shares, points)

    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        return self._inner.geometry(coefficients, gram)

    def stretching(self, grams: Tensor) -> Tensor:
        axes = grams.shape[-1]
        mean = grams.diagonal(dim1=1, dim2=2).sum(dim=1).mean() / axes
        # A chart that is a single point has G = 0 everywhere: its term is d, whose gradient by the controls is 0.
        scaled = grams / torch.where(mean > 0, mean, 1.0)
        term = (scaled - torch.eye(axes).to(grams)).square().sum(dim=(1, 2)).mean()
        self._isometry = float(term.detach())
        return self._weight * term

    def report(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        numbers = self._inner.report(metrics)
        return numbers if self._isometry is None else {**numbers, "isometry": self._isometry}
