"""Rays of coordinates that leave a point of a chart in many directions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lossatlas.describing import join_words
from lossatlas.errors import BadInput
from lossatlas.schema import REPEAT, SAMPLE_DIMENSIONS
from lossatlas.streams import make_generator

__all__ = ["Rays", "cast_rays"]

Floats = npt.NDArray[np.float64]
GOLDEN = math.pi * (3 - math.sqrt(5))
"""The golden angle, by which neighbours on a Fibonacci sphere are turned."""
NOTHING = 1e-9
"""A ray that is shorter than this share of the longest one leads out of the box at once."""


@dataclass(frozen=True, eq=False)
class Rays:
    """R rays from one point of a chart.

    Attributes:
        axes: The names of the axes along which they lead, d of them.
        centre: The coordinates of the point, of all axes of the chart.
        directions: The unit vectors, (R, d), float64.
        angles: The angles in degrees, (R,), from the first axis towards the second; of one axis 0 and 180. None where
            there are more than two axes.
        reaches: How long they are, (R,), in coordinates.
    """

    axes: tuple[str, ...]
    centre: tuple[float, ...]
    directions: Floats
    angles: Floats | None
    reaches: Floats

    def __len__(self) -> int:
        return len(self.directions)

    def locate(self, rays: npt.NDArray[np.intp], distances: Floats) -> Floats:
        """The coordinates (P, D), of all axes of the chart, at distances (P,) along some of the rays (P,)."""
        points = np.tile(np.array(self.centre), (len(rays), 1))
        # What only numbers repeats comes last, and stays.
        points[:, : len(self.axes)] += self.directions[rays] * distances[:, None]
        return points


def cast_rays(
    axes: Sequence[str],
    centre: Sequence[float],
    count: int,
    reach: float | Mapping[str, tuple[float, float]],
) -> Rays:
    """Cast rays from a point of a chart: on one axis both ways, in a plane at equal angles, in space all over a sphere.

    On three axes they are the points of a Fibonacci sphere (González 2010, arXiv 0912.4540), on more axes random ones
    that are the same every time.

    Args:
        axes: the axes of the chart; the number of a repeat stays.
        centre: the coordinates of the point, one for each axis.
        count: how many rays, on more than one axis.
        reach: how far they lead, in coordinates; or the ends of a box by axis, to whose edge they lead. Rays that leave
            the box at once are left out.

    Raises:
        BadInput: an axis numbers things rather than leading anywhere, the centre does not fit, lies outside of the box,
            or there is nothing to follow.

    >>> rays = cast_rays(("u", "v"), (0.0, 0.0), 4, {"u": (-1, 1), "v": (-1, 3)})
    >>> rays.angles.tolist(), rays.reaches.round(9).tolist()
    ([0.0, 90.0, 180.0, 270.0], [1.0, 3.0, 1.0, 1.0])
    """
    own = tuple(axis for axis in axes if axis != REPEAT)
    if wrong := [axis for axis in own if axis in SAMPLE_DIMENSIONS]:
        raise BadInput(f"the chart has no directions: its axis {wrong[0]!r} numbers networks; choose another chart")
    if len(centre) != len(axes) or not np.isfinite(centre).all():
        raise BadInput(f"the centre is {tuple(centre)}; expected a finite number for each of {', '.join(axes)}")
    if count < 1:
        raise BadInput(f"directions is {count}; expected 1 or more")
    directions = _spread_directions(len(own), count)
    reaches = (
        np.full(len(directions), reach) if isinstance(reach, float | int) else _reach(own, centre, directions, reach)
    )
    if not np.isfinite(reaches).all() or not (reaches > 0).any():
        raise BadInput(f"rays reach {float(reaches.max()):g} from the centre; expected a finite number above 0")
    kept = reaches > NOTHING * reaches.max()
    directions = directions[kept]
    angles = None
    if len(own) <= 2:
        rise = directions[:, 1] if len(own) == 2 else np.zeros(len(directions))
        angles = np.degrees(np.arctan2(rise, directions[:, 0])).round(9) % 360
    return Rays(own, tuple(float(value) for value in centre), directions, angles, reaches[kept])


def _reach(
    axes: Sequence[str], centre: Sequence[float], directions: Floats, box: Mapping[str, tuple[float, float]]
) -> Floats:
    """How far it is from a centre to the edge of a box, (R,)."""
    if missing := [axis for axis in axes if axis not in box]:
        raise BadInput(f"the box has no ends along {join_words(missing)}; give the lower and the upper one")
    lows, highs = (np.array([box[axis][end] for axis in axes], dtype=np.float64) for end in (0, 1))
    at = np.array(centre[: len(axes)], dtype=np.float64)
    if ((at < lows) | (at > highs)).any():
        raise BadInput(
            f"the centre {tuple(at.tolist())} lies outside of the box from {tuple(lows.tolist())} to "
            f"{tuple(highs.tolist())}; choose one inside, or give how far rays reach as a number"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        to_edges = np.where(directions > 0, (highs - at) / directions, (lows - at) / directions)
    edges: Floats = np.where(directions != 0, to_edges, np.inf).min(axis=1)
    return edges


def _spread_directions(dimensions: int, count: int) -> Floats:
    """Unit vectors (R, d), spread evenly."""
    if dimensions == 1:
        return np.array([[1.0], [-1.0]])
    if dimensions == 2:
        angles = 2 * np.pi * np.arange(count) / count
        found = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return np.where(np.abs(found) < 1e-15, 0.0, found)  # along an axis exactly, where it is along one
    if dimensions == 3:
        numbers = np.arange(count)
        height = 1 - (2 * numbers + 1) / count
        radius = np.sqrt(1 - height**2)
        return np.stack([radius * np.cos(GOLDEN * numbers), radius * np.sin(GOLDEN * numbers), height], axis=1)
    drawn = torch.randn(count, dimensions, generator=make_generator(0, "rays"), dtype=torch.float64).numpy()
    unit: Floats = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit
