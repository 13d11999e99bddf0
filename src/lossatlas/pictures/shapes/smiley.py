"""A smiling face, drawn by outline."""

from __future__ import annotations

from lossatlas.pictures.shape import Shape
from lossatlas.pictures.shapes._strokes import Bools, Reals, arc, disc, stroke

__all__ = ["smiley"]

LINE = 0.09


def _inside(x: Reals, y: Reals, pixel: float) -> Bools:
    face = stroke(x, y, arc((0, 0), (0.82, 0.82), (0, 360)), LINE, pixel)
    mouth = stroke(x, y, arc((0, 0), (0.44, 0.44), (205, 335)), LINE, pixel)
    return face | mouth | disc(abs(x), y, (0.29, 0.27), (0.12, 0.16))


smiley = Shape(_inside)
