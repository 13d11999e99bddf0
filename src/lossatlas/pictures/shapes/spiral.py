"""A spiral of two turns: one long corridor of low loss."""

from __future__ import annotations

import numpy as np

from lossatlas.pictures.shape import Shape
from lossatlas.pictures.shapes._strokes import Bools, Reals, stroke

__all__ = ["spiral"]

TURNS = 2.25
REACH = 0.82


def _inside(x: Reals, y: Reals, pixel: float) -> Bools:
    angles = np.linspace(0, 2 * np.pi * TURNS, 145)
    radii = REACH * angles / angles[-1]
    return stroke(x, y, np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=-1), 0.16, pixel)


spiral = Shape(_inside)
