"""The ratio of the ends of the Hessian's spectrum."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.linalg import Extremes
from lossatlas.losses import Loss
from lossatlas.metrics.curvature import Spectral, SpectralMetric, Spectrum
from lossatlas.schema import RESIDUAL, Companion, Quantity

__all__ = ["HessianRatio"]


class HessianRatio(SpectralMetric):
    """The ratio ``|smallest eigenvalue / largest eigenvalue|`` of the Hessian (Li et al. 2018, section 6).

    Where the smallest is negative, the loss is almost convex near 0 and curves downwards as much as upwards at 1; where
    it is positive, the ratio says how round a bowl is. Beside it stands how far residuals let it be off, ``(r_min +
    ratio * r_max) / (|largest| - r_max)``; infinite where a search ended before it was likely to see the weaker end.
    """

    companions = (RESIDUAL,)

    @property
    def computation(self) -> Spectrum:
        return Spectrum(self.operator, self.settings, top=1, bottom=1)

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity("hessian_ratio", f"|smallest / largest| eigenvalue of the {self.words}", "1")

    def value(self, found: Spectral) -> Tensor:
        largest, smallest = _find_ends(found)
        return (smallest / largest).abs()

    def companion(self, companion: Companion, found: Spectral) -> Tensor:
        assert found.extremes is not None
        largest, _ = _find_ends(found)
        r_max, r_min = found.extremes.top_residuals[:, 0], found.extremes.bottom_residuals[:, 0]
        room = largest.abs() - r_max
        bound = (r_min + self.value(found) * r_max) / room
        return torch.where(room > 0, bound, torch.inf).where(largest.isfinite(), torch.nan)


def _find_ends(found: Spectral) -> tuple[Tensor, Tensor]:
    """The largest and the smallest eigenvalue at each point, (p,)."""
    extremes: Extremes | None = found.extremes
    assert extremes is not None
    return extremes.top[:, 0], extremes.bottom[:, 0]
