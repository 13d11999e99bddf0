"""A ring: ink that is connected but not simply connected."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lossatlas.pictures.shape import Shape

__all__ = ["ring"]

Reals = npt.NDArray[np.float64]

MIDDLE = 0.67
HALF_WIDTH = 0.18


def _inside(x: Reals, y: Reals, pixel: float) -> npt.NDArray[np.bool_]:
    return np.abs(np.hypot(x, y) - MIDDLE) <= max(HALF_WIDTH, 0.55 * pixel)


ring = Shape(_inside)
