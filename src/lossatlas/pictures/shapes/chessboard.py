"""A board of eight by eight squares, or of four by four where a square would have fewer than two cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lossatlas.pictures.shape import Shape

__all__ = ["chessboard"]

Reals = npt.NDArray[np.float64]


def _inside(x: Reals, y: Reals, pixel: float) -> npt.NDArray[np.bool_]:
    half = 4 if pixel <= 1 / 8 else 2
    return np.asarray((np.floor(x * half) + np.floor(y * half)) % 2 == 0)


chessboard = Shape(_inside)
