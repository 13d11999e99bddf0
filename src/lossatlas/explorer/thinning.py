"""Which points of a survey are drawn: at most 200 along each axis, all of them in a window that holds no more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lossatlas.views.scales import Floats

__all__ = ["MOST", "Window", "choose_points"]

MOST = 200
"""The most points that are drawn along each of two axes."""
Window = dict[str, tuple[float, float]]
"""By axis the lowest and the highest coordinate that is shown."""


def choose_points(at: Floats, shown: tuple[float, float] | None = None, most: int = MOST) -> NDArray[np.intp]:
    """Choose the points along an axis that are drawn: both ends of what is shown, and evenly spaced ones between.

    >>> import numpy as np
    >>> choose_points(np.linspace(0, 1, 1001), most=5)
    array([   0,  250,  500,  750, 1000])
    >>> choose_points(np.linspace(0, 1, 1001), (0.5, 0.5021), most=5)
    array([499, 500, 501, 502, 503])

    Args:
        at: ascending coordinates (N,).
        shown: the ends of the window; None shows all.
        most: the most points to draw.

    Returns:
        Indices, ascending, with one point beyond the window at either side, so that nothing is cut off.
    """
    first, last = 0, len(at) - 1
    if shown is not None:
        low, high = min(shown), max(shown)
        first = max(int(np.searchsorted(at, low, side="left")) - 1, 0)
        last = min(int(np.searchsorted(at, high, side="right")), len(at) - 1)
        if last < first:
            first, last = 0, len(at) - 1
    count = min(most, last - first + 1)
    return np.unique(np.linspace(first, last, count).round().astype(np.intp))
