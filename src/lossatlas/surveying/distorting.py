"""Maps of how a curved chart distorts weight space, beside its survey, and what they say in numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from lossatlas.charts import Chart, Distortion, measure_distortion
from lossatlas.schema import OnChart
from lossatlas.surveying.arrays import Grid
from lossatlas.surveying.store import SurveyStore

__all__ = ["describe_distortion", "put_distortion", "select_domain", "summarise_distortion"]

Reals = npt.NDArray[np.float64]

STRETCHED = 3.0
"""From which ratio of the largest to the smallest element of area on a picture is said to be stretched."""
SLANTED = 30.0
"""Between axes at less than this angle, in degrees, a picture is said to be sheared."""
FOLDED = 0.2
"""From which separation down a chart is said to fold: far cells are five times nearer than their coordinates say."""
ELEMENTS = {1: "length", 2: "area", 3: "volume"}


def put_distortion(store: SurveyStore, chart: Chart) -> None:
    """Write how a chart distorts weight space at the points of its store, unless it is there: see :class:`OnChart`.

    Raises:
        BadInput: as :func:`~lossatlas.charts.measure_distortion`.
    """
    names = [OnChart.AREA, OnChart.SEPARATION, *OnChart.PRINCIPAL]
    names += [OnChart.angle(*pair) for pair in combinations(chart.axes, 2)]
    if not store.lacks(*names):
        return
    for name, values, attributes in _list_variables(measure_distortion(chart, store.grid), len(chart.axes)):
        store.put(name, values, attributes)


def _list_variables(found: Distortion, axes: int) -> Iterator[tuple[str, Reals, dict[str, Any]]]:
    """The name, the values and the attributes of each variable."""
    element = ELEMENTS.get(axes, "content")
    yield (
        OnChart.AREA,
        found.area,
        {
            "long_name": f"relative {element} element",
            "units": "1",
            "scale": found.scale,
            "description": f"{element} in weight space, over that of an isometric chart of equal mean square stretch",
        },
    )
    for (axis, other), angles in found.angles.items():
        yield (
            OnChart.angle(axis, other),
            angles,
            {
                "long_name": f"angle between {axis} and {other}",
                "units": "degree",
                "description": "angle in weight space between the derivatives of the chart; 90 without shear, NaN "
                "where they are parallel or zero",
            },
        )
    yield (
        OnChart.SEPARATION,
        found.separation,
        {
            "long_name": "smallest separation",
            "units": "1",
            "far": found.far,
            "partners": found.partners,
            "out_of": int(found.within.sum()),
            "description": "least distance in weight space from a point far away, over that on an isometric, flat "
            "chart; near 0 the chart folds onto itself",
        },
    )
    for k, name in enumerate(OnChart.PRINCIPAL):
        yield (
            name,
            np.ascontiguousarray(found.principal[..., k]),
            {
                "long_name": f"principal axis {k + 1}",
                "units": "1",
                "explained": found.explained[k],
                "description": "position in weight space along a principal axis of the points, in units of the chart's "
                "scale",
            },
        )


def summarise_distortion(survey: xr.Dataset, crop: Callable[[Any], Any] = np.asarray) -> dict[str, Any]:
    """Summarise how a chart distorts weight space as numbers by name; empty of surveys that do not say.

    Args:
        survey: with the variables of :class:`OnChart`.
        crop: selects the values, over the survey's grid, that are summarised; all by default.

    Returns:
        ``area_element_smallest``, ``_largest`` and ``_ratio`` (None where the smallest is 0), ``axis_angle_smallest``
        and ``_largest`` in degrees where there are two axes at least, and ``separation_smallest``.
    """
    if OnChart.AREA not in survey:
        return {}
    area = crop(survey[OnChart.AREA].values)
    low, high = float(area.min()), float(area.max())
    numbers: dict[str, Any] = {"area_element_smallest": low, "area_element_largest": high}
    numbers["area_element_ratio"] = high / low if low > 0 else None
    names = [str(name) for name in survey.data_vars if str(name).startswith(OnChart.angle("", ""))]
    angles = [_select_finite(crop(survey[name].values)) for name in names]
    if names:
        known = np.concatenate(angles)
        numbers["axis_angle_smallest"] = float(known.min()) if known.size else None
        numbers["axis_angle_largest"] = float(known.max()) if known.size else None
    separation = _select_finite(crop(survey[OnChart.SEPARATION].values))
    return {**numbers, "separation_smallest": float(separation.min()) if separation.size else None}


def select_domain(chart: Chart, grid: Grid) -> Callable[[Reals], Reals]:
    """Make a function that selects the values at the points of a grid in a chart's domain; at all, if none is in it."""
    coords = torch.cartesian_prod(*map(torch.as_tensor, grid.values())).view(-1, len(grid))
    within = chart.is_within(coords).cpu().numpy().reshape([len(axis) for axis in grid.values()])
    return lambda values: values[within] if within.any() else values.ravel()


def describe_distortion(numbers: Mapping[str, Any]) -> str:
    """Say in one line that a picture lies on a chart that stretches, shears or folds badly; empty where it does not.

    Args:
        numbers: as :func:`summarise_distortion` returns them, possibly among others.
    """
    if "area_element_smallest" not in numbers:
        return ""
    ratio = numbers["area_element_ratio"]
    found = []
    if ratio is None:
        found.append("the area element is 0 at a point")
    elif ratio > STRETCHED:
        found.append(f"the area element varies by a factor of {ratio:.3g}")
    slant = _find_slant(numbers)
    if slant is not None and slant < SLANTED:
        found.append(f"axes meet at {slant:.3g} degrees")
    nearest = numbers["separation_smallest"]
    if nearest is not None and nearest < FOLDED:
        found.append(f"cells far from each other come as near as {nearest:.2g} of their distance in the picture")
    if not found:
        return ""
    return f"the chart is distorted: {', '.join(found)}; a larger --isometry keeps it nearer to an isometry"


def _find_slant(numbers: Mapping[str, Any]) -> float | None:
    """The least angle between two axes, either way; None where it is not known."""
    low, high = numbers.get("axis_angle_smallest"), numbers.get("axis_angle_largest")
    return None if low is None or high is None else min(low, 180 - high)


def _select_finite(values: Reals) -> Reals:
    return values[np.isfinite(values)]
