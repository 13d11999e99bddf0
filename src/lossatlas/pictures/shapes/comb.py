"""Five intervals on a line, in one dimension."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lossatlas.pictures.shape import Shape

__all__ = ["comb"]

Reals = npt.NDArray[np.float64]

PERIOD = 0.4


def _inside(x: Reals, pixel: float) -> npt.NDArray[np.bool_]:
    return np.cos(2 * np.pi * x / PERIOD) > 0.1


comb = Shape(_inside, rank=1)
