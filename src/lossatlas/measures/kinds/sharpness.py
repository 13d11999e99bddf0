"""The sharpness: the rise of the loss in a box around the centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossatlas.measures.measure import Measure, Value
from lossatlas.measures.surface import ROUNDING, Surface, interpolate

__all__ = ["Sharpness"]


@dataclass(frozen=True)
class Sharpness(Measure):
    """``sharpness_within_<r>``: the epsilon-sharpness of Keskar et al. 2017 (arXiv 1609.04836), on the slice.

    Their Metric 2.1 with the slice for their subspace A: ``100 * (max L(c) - L(c_0)) / (1 + L(c_0))`` over the box
    ``max_k |c_k - c_0k| <= r``, in percent. The slice's coordinates count from the network (x = 0 in their box), so
    that r, in units of the coordinates, is their epsilon. The maximum is that of the multilinear interpolation, which
    takes it at a grid point or where a line of the grid meets the box.

    None if the box extends beyond the grid, or is too small to contain the neighbours of the centre.

    Args:
        radii: the values of r, half the side lengths of the boxes.
    """

    radii: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 1.0)

    def applies(self, surface: Surface) -> bool:
        return True

    def of(self, surface: Surface) -> dict[str, Value]:
        return {f"sharpness_within_{radius:g}": _sharpness(surface, radius) for radius in self.radii}


def _sharpness(surface: Surface, radius: float) -> float | None:
    values = surface.values
    for axis, (coords, at) in enumerate(zip(surface.coords, surface.centre, strict=True)):
        slack = ROUNDING * (coords[-1] - coords[0])
        low, high = coords[at] - radius, coords[at] + radius
        if coords[0] > low + slack or coords[-1] < high - slack:
            return None
        if at in (0, len(coords) - 1) or coords[at - 1] < low - slack or coords[at + 1] > high + slack:
            return None
        inside = np.compress((coords >= low) & (coords <= high), values, axis)
        ends = [np.expand_dims(interpolate(values, coords, place, axis), axis) for place in (low, high)]
        values = np.concatenate([ends[0], inside, ends[1]], axis)
    if not np.isfinite(values).all() or surface.centre_value <= -1:
        return None
    return float(100 * (values.max() - surface.centre_value) / (1 + surface.centre_value))
