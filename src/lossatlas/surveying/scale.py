"""In what numbers a surface is refined and interpolated: where a given error weighs alike everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

__all__ = ["Scale"]

Floats = npt.NDArray[np.float64]
FLOOR = 1e-12
"""What has no logarithm is as low as this; what is negative lies so many times its size below the floor's logarithm."""
TENTH = 0.1
"""Of the points lie below the height that is the unit of a surface without a zero: few, lest what rises without bounds
at the edge of the picture hide the valley in its middle."""


@final
@dataclass(frozen=True)
class Scale:
    """The logarithm of a positive surface; of another one, ``asinh((value - lowest) / unit)``.

    Losses with a zero of their own are compared by ratios. Others (densities, energies) are told by their heights: near
    the lowest point an error counts as a share of the unit, far above it as a share of the height. Neither another
    zero nor another unit of such a loss changes where it is refined.

    A surface that is positive where it was looked at first and negative elsewhere keeps the logarithm, which goes on
    below zero as a steep straight line: it is then evaluated wherever it is negative.
    """

    lowest: float
    unit: float
    """0 where it is the logarithm."""

    @classmethod
    def of(cls, first: Floats) -> Scale:
        """That of a surface, by the values of the points that are evaluated in any case.

        Those are always the same; if others had a say, it would matter who came when.

        Args:
            first: of any shape; what is not finite says nothing.
        """
        known = first[np.isfinite(first)]
        if (known > 0).all():
            return cls(0.0, 0.0)
        lowest = float(known.min())
        heights = known - lowest
        unit = float(np.quantile(heights, TENTH)) or float(heights.max()) or 1.0
        return cls(lowest, unit)

    def forward(self, values: Floats) -> Floats:
        """Values in these numbers; NaN stays."""
        with np.errstate(invalid="ignore", over="ignore"):
            if self.unit:
                return np.arcsinh((values - self.lowest) / self.unit)
            logarithm = np.log(np.where(values > FLOOR, values, FLOOR))
            logarithm = np.where(values < 0, np.log(FLOOR) + values / FLOOR, logarithm)
            return np.where(np.isnan(values), np.nan, logarithm)

    def back(self, made: Floats) -> Floats:
        """The inverse of :meth:`forward`, but for what lies between zero and the floor."""
        with np.errstate(invalid="ignore", over="ignore"):
            if self.unit:
                return self.lowest + self.unit * np.sinh(made)
            beyond = made - np.log(FLOOR)
            return np.where(beyond < 0, beyond * FLOOR, np.exp(made))
