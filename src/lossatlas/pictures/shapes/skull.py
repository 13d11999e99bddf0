"""A skull of thin lines, as an icon has it: the outlines of cranium and jaw, eye sockets, a nose, teeth."""

from __future__ import annotations

import numpy as np

from lossatlas.pictures.shape import Shape
from lossatlas.pictures.shapes._strokes import Bools, Reals, arc, disc, stroke

__all__ = ["skull"]

LINE = 0.06
CHEEK_AND_JAW = [(0.66, -0.31), (0.46, -0.42), (0.44, -0.74), (0.34, -0.84), (0, -0.84)]


def _inside(x: Reals, y: Reals, pixel: float) -> Bools:
    x = abs(x)
    outline = np.concatenate([arc((0, 0.14), (0.76, 0.66), (90, -28)), CHEEK_AND_JAW])
    nose = (y <= -0.12) & (y >= -0.34) & (x <= 0.02 + 0.5 * (-0.12 - y))
    ink = stroke(x, y, outline, LINE, pixel) | disc(x, y, (0.32, 0.06), (0.20, 0.22)) | nose
    for tooth in (0.0, 0.2) if pixel < 0.09 else (0.15,):
        ink |= stroke(x, y, np.array([(tooth, -0.56), (tooth, -0.84)]), LINE, pixel)
    return ink


skull = Shape(_inside)
