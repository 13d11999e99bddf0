"""The expected loss in a simplex, and its volume."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lossatlas.charts import Grown
from lossatlas.charts.forms import sample_barycentric
from lossatlas.errors import BadInput
from lossatlas.objectives.objective import SampledPoints, SingleStage
from lossatlas.streams import make_generator
from lossatlas.types import Outputs

__all__ = ["InSimplex"]


class InSimplex(SingleStage):
    """``E L(w)`` for w uniform in a simplex, less ``volume * log(its volume)`` (Benton et al. 2021, equation 5).

    Args:
        simplex: the simplex, whose last vertex is trained.
        points: how many points a step samples.
        volume: the coefficient of the logarithm of the volume, in the unit of the loss; that term keeps the vertex
            away from the others.

    Raises:
        BadInput: fewer than one point, or a negative coefficient.
    """

    def __init__(self, simplex: Grown, points: int = 4, *, volume: float = 0.0) -> None:
        if points < 1:
            raise BadInput(f"a step samples {points} points of the simplex; expected at least 1")
        if not volume >= 0:
            raise BadInput(f"the weight of the volume is {volume}; expected 0 or more")
        self.axes = simplex.axes
        self.most_points = points
        self.volume = volume

    def sample(self, seed: int, step: int, progress: float, running: Mapping[str, float]) -> SampledPoints:
        coords = sample_barycentric(self.most_points, len(self.axes), make_generator(seed, "simplex", step))
        return _Points(coords, self.volume)


class _Points(SampledPoints):
    coupled = False

    def __init__(self, coords: Tensor, volume: float) -> None:
        self.coords = coords
        self._volume = volume

    @property
    def geometric(self) -> bool:  # type: ignore[override]
        return self._volume > 0

    def value(self, outputs: Outputs, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        return (losses @ shares).sum() / len(self.coords)

    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        # The Gram matrix of the sides from that of the vertices.
        sides = gram[1:, 1:] - gram[1:, :1] - gram[:1, 1:] + gram[0, 0]
        squared: Tensor = torch.linalg.slogdet(sides).logabsdet
        return -self._volume / 2 * squared

    def report(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        return {f"mean_{name}": float(values.mean()) for name, values in metrics.items()}
