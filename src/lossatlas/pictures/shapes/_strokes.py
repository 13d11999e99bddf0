"""Lines of a width, for the shapes that are drawn by outline."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["Bools", "Reals", "arc", "disc", "stroke"]

Reals = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def stroke(x: Reals, y: Reals, line: Reals, thickness: float, pixel: float) -> Bools:
    """Where a line passes, broadcast over x and y.

    Args:
        x: abscissae, broadcasting against ``y``.
        y: ordinates.
        line: (corners, 2), joined in this order by segments with round ends.
        thickness: of the line; it is drawn thicker where that would be too little for a line without gaps.
        pixel: the width of a cell.
    """
    half = max(thickness, 1.1 * pixel) / 2
    near = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.bool_)
    for start, end in pairwise(line):
        dx, dy = end - start
        along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy), 0, 1)
        near |= (x - start[0] - along * dx) ** 2 + (y - start[1] - along * dy) ** 2 <= half**2
    return near


def arc(centre: tuple[float, float], radii: tuple[float, float], degrees: tuple[float, float]) -> Reals:
    """Corners along an ellipse between two angles, anticlockwise from the right: (corners, 2)."""
    angles = np.radians(np.linspace(*degrees, 49))
    return np.stack([centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], axis=-1)


def disc(x: Reals, y: Reals, centre: tuple[float, float], radii: tuple[float, float]) -> Bools:
    """The inside of an ellipse, broadcast over x and y."""
    return ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 <= 1
