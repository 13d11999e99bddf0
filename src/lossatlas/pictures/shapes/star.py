"""A solid star with five points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lossatlas.pictures.shape import Shape

__all__ = ["star"]

Reals = npt.NDArray[np.float64]

TIP = 0.95
NOTCH = 0.42


def _inside(x: Reals, y: Reals, pixel: float) -> npt.NDArray[np.bool_]:
    y = y + 0.08  # the two lower tips reach less far than the upper one
    radius, angle = np.hypot(x, y), np.arctan2(x, y)
    # Fold all ten half-points onto one, between a tip at angle 0 and a notch at 36 degrees.
    step = 2 * np.pi / 5
    folded = np.abs((angle + step / 2) % step - step / 2)
    across, up = radius * np.sin(folded), radius * np.cos(folded)
    notch_across, notch_up = NOTCH * np.sin(step / 2), NOTCH * np.cos(step / 2)
    return np.asarray(across * (TIP - notch_up) <= (TIP - up) * notch_across)


star = Shape(_inside)
