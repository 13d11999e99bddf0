"""A solid ball, in three dimensions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lossatlas.pictures.shape import Shape

__all__ = ["ball"]

Reals = npt.NDArray[np.float64]

RADIUS = 0.8


def _inside(x: Reals, y: Reals, z: Reals, pixel: float) -> npt.NDArray[np.bool_]:
    return x**2 + y**2 + z**2 <= RADIUS**2


ball = Shape(_inside, rank=3)
