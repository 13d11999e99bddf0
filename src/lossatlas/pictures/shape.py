"""Pictures by formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from lossatlas.pictures.picture import Picture
from lossatlas.pictures.source import Size, Source, scale_shape

__all__ = ["Shape", "ShapeSource"]

DEFAULT_SIZES = {1: 40, 2: 40, 3: 12}
"""The default sizes by rank: a cube of 40 cells per side would have 64,000 cells."""
SAMPLES = 4  # per cell and axis


@dataclass(frozen=True)
class Shape:
    """A region of the interval, square or cube [-1, 1]^rank.

    Args:
        contains: called with ``rank`` float64 arrays (x to the right, y up, z through the stack) that broadcast
            against one another, and with the width of a cell in the same units; returns the booleans of the ink.
            With the width, strokes can be made at least as thick as a cell.
        rank: 1, 2 or 3.
    """

    contains: Callable[..., npt.NDArray[np.bool_]]
    rank: int = 2


@final
class ShapeSource(Source):
    """A shape at any size, fitted undistorted into the shortest side, in the centre of the picture.

    Args:
        shape: the formula.
        name: the name of the picture.
        invert: whether to exchange ink and background.
    """

    scalable = True

    def __init__(self, shape: Shape, name: str, invert: bool = False) -> None:
        self.name = name
        self.rank = shape.rank
        self._shape = shape
        self._invert = invert

    def render(self, size: Size | None = None) -> Picture:
        """Render the shape; a cell is ink where at least half of it is covered. See :meth:`Source.render`."""
        sides = scale_shape(size, (DEFAULT_SIZES[self.rank],) * self.rank, self.name)
        pixel = 2 / min(sides)
        # The last dimension of the array is x, the one before y (downwards), the first of three z.
        steps = [(np.arange(side * SAMPLES) - (side * SAMPLES - 1) / 2) * (pixel / SAMPLES) for side in sides]
        if self.rank > 1:
            steps[-2] = -steps[-2]
        mesh = np.meshgrid(*steps, indexing="ij", sparse=True)
        inside = self._shape.contains(*reversed(mesh), pixel)
        split = [length for side in sides for length in (side, SAMPLES)]
        covered = inside.reshape(split).mean(axis=tuple(range(1, 2 * self.rank, 2)))
        return Picture((covered >= 0.5) != self._invert, self.name)
