"""The base of objectives of curves: points spread evenly in t, and weight decay on them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from lossatlas.charts import Curve
from lossatlas.errors import BadInput
from lossatlas.objectives.objective import SampledPoints, SingleStage
from lossatlas.registry import Registry
from lossatlas.schema import CURVE
from lossatlas.streams import make_generator

__all__ = ["CURVE_OBJECTIVES", "OnCurve", "PointsOnCurve", "spread_evenly"]

CURVE_OBJECTIVES: Registry[type[OnCurve]] = Registry("objective", "lossatlas.objectives.along")


class OnCurve(SingleStage):
    """An objective of the losses along a curve.

    Args:
        points: how many points a step samples: one at random in each of as many equal intervals of t, so that the mean
            over t is unbiased and varies less than with independent points.
        weight_decay: the coefficient of an added term ``weight_decay / 2 * ||w||^2``, averaged over the sampled points.

    Raises:
        BadInput: fewer than one point, or a negative weight decay.
    """

    axes = (CURVE,)

    def __init__(self, points: int = 4, *, weight_decay: float = 0.0) -> None:
        if points < 1:
            raise BadInput(f"a step samples {points} points of the curve; expected at least 1")
        if not weight_decay >= 0:
            raise BadInput(f"weight_decay is {weight_decay}; expected 0 or more")
        self.most_points = points
        self.weight_decay = weight_decay

    @classmethod
    @abstractmethod
    def of_curve(cls, curve: Curve, points: int, weight_decay: float, temperature: float) -> Self:
        """Make the objective of a curve from the options of all kinds; each takes those that it has."""

    @abstractmethod
    def sample_at(self, coords: Tensor) -> PointsOnCurve:
        """The objective at given points (P, 1)."""

    def sample(self, seed: int, step: int, progress: float, running: Mapping[str, float]) -> SampledPoints:
        return self.sample_at(spread_evenly(self.most_points, make_generator(seed, "curve", step)))


class PointsOnCurve(SampledPoints):
    """Points of a curve; kinds of objectives differ in how they weight the losses."""

    coupled = False

    def __init__(self, coords: Tensor, weight_decay: float) -> None:
        self.coords = coords
        self._weight_decay = weight_decay

    @property
    def geometric(self) -> bool:  # type: ignore[override]
        """Whether there is a weight decay."""
        return self._weight_decay > 0

    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        squares = ((coefficients @ gram) * coefficients).sum(dim=1)
        return self._weight_decay / 2 * squares.mean()

    def report(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        numbers = {f"mean_{name}": float(values.mean()) for name, values in metrics.items()}
        if "loss" in metrics:
            numbers["highest_loss"] = float(metrics["loss"].max())
        return numbers


def spread_evenly(points: int, random: torch.Generator) -> Tensor:
    """Sample one t in each of P equal intervals of [0, 1]: (P, 1), float64."""
    within = torch.rand(points, generator=random, dtype=torch.float64)
    return ((torch.arange(points) + within) / points)[:, None]
