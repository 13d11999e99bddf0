"""A solid heart."""

from __future__ import annotations

import numpy as np

from lossatlas.pictures.shape import Shape
from lossatlas.pictures.shapes._strokes import Bools, Reals, disc

__all__ = ["heart"]

CENTRE = (0.42, 0.34)  # of the right one of two discs
RADIUS = 0.46
TIP = -0.86


def _inside(x: Reals, y: Reals, pixel: float) -> Bools:
    x, up = abs(x), y - TIP
    # The tangent from the tip to the disc: its angle from the vertical, and its length.
    across, rise = CENTRE[0], CENTRE[1] - TIP
    distance = np.hypot(across, rise)
    angle = np.arctan2(across, rise) + np.arcsin(RADIUS / distance)
    length = np.sqrt(distance**2 - RADIUS**2)
    left_of_tangent = x * np.cos(angle) <= up * np.sin(angle)
    below_disc = (x * np.sin(angle) + up * np.cos(angle) <= length) & (y <= CENTRE[1])
    return np.asarray(disc(x, y, CENTRE, (RADIUS, RADIUS)) | (left_of_tangent & below_disc))


heart = Shape(_inside)
