"""The point of a chart that others are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lossatlas.describing import join_words
from lossatlas.schema import REPEAT, SAMPLE_DIMENSIONS, Corner, parse_texts

if TYPE_CHECKING:
    import xarray as xr

    from lossatlas.charts import Chart

__all__ = ["Centre", "find_centre"]

SAME = 1e-9
"""How far apart coordinates may be that mean the same network."""


@dataclass(frozen=True)
class Centre:
    """The point that others are compared with."""

    coords: tuple[float, ...]
    """Its coordinates, of all axes; along ``repeat`` 0."""
    words: str
    """What lies there: ``net0 (u = v = 0)``."""


def find_centre(chart: Chart, box: Mapping[str, tuple[float, float]], survey: xr.Dataset) -> Centre:
    """Find the point of a chart that others are compared with.

    That is the first of the networks that the chart passes through, or its origin; where it has neither, the middle of
    what was surveyed, and of numbered samples the first.

    Args:
        chart: the chart.
        box: the ends of what was surveyed, by axis.
        survey: the survey, which may name the networks.
    """
    own = [axis for axis in chart.axes if axis != REPEAT]
    repeats = (0.0,) * (len(chart.axes) - len(own))
    corners = chart.corner_coords().tolist()
    if corners:
        at = tuple(corners[0])
        where = _say_place(own, at)
        name = _find_name(own, at, survey)
        if not name and chart.interpolation == "affine":
            name = "the origin of the chart"
        return Centre((*at, *repeats), f"{name} ({where})" if name else where)
    if all(axis in SAMPLE_DIMENSIONS for axis in own):
        at = tuple(box[axis][0] for axis in own)
        return Centre((*at, *repeats), join_words([f"{axis} {value:g}" for axis, value in zip(own, at, strict=True)]))
    at = tuple(sum(box[axis]) / 2 for axis in own)
    return Centre((*at, *repeats), f"the middle of what was surveyed ({_say_place(own, at)})")


def _find_name(axes: Sequence[str], at: Sequence[float], survey: xr.Dataset) -> str:
    """What the survey calls the network at a place; empty where it names none there."""
    with suppress(Exception):  # it is not there, or damaged in one of many ways
        along = [survey[Corner.coordinate(axis)] for axis in axes]
        names = parse_texts(along[0].attrs.get("names"))
        places = np.stack([np.asarray(values.values, dtype=np.float64) for values in along], axis=1)
        for name, place in zip(names, places, strict=True):
            if np.allclose(place, at, rtol=0, atol=SAME):
                return name
    return ""


def _say_place(axes: Sequence[str], at: Sequence[float]) -> str:
    """Write coordinates in words.

    >>> _say_place(("u", "v"), (0.0, 0.0)), _say_place(("u", "v"), (0.0, 0.5))
    ('u = v = 0', 'u = 0, v = 0.5')
    """
    if len(set(at)) == 1:
        return f"{' = '.join(axes)} = {at[0]:.4g}"
    return ", ".join(f"{axis} = {value:.4g}" for axis, value in zip(axes, at, strict=True))
