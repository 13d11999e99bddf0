"""What the pictures of curves between networks share, and which variables they show."""

from __future__ import annotations

import xarray as xr

from lossatlas.schema import Along
from lossatlas.views import data, scales
from lossatlas.views.kinds._splits import has_plane_of, has_points_between
from lossatlas.views.lines import Stroke

__all__ = ["STROKES", "goes_along_curve", "in_unit_of_loss", "lies_under_curve", "undrawn"]

STROKES = {
    "curve": Stroke("#3b0f70", "-", "curve"),
    "straight": Stroke("#de4968", "--", "straight line"),
    "radial": Stroke("#8a8d91", ":", "through the origin"),
    "random": Stroke("#8a8d91", ":", "random step"),
}
"""The style of each path in all pictures; the last two never appear in the same picture."""


def goes_along_curve(survey: xr.Dataset) -> bool:
    """Whether the points of the survey lie along a curve between networks, with a loss at each."""
    return len(data.axes(survey)) == 1 and Along.T in survey and bool(data.fields(survey, scales.LOSS))


def lies_under_curve(survey: xr.Dataset) -> bool:
    """Whether the survey is of a plane and records the course of a curve between networks on it."""
    there = all(Along.coordinate(axis) in survey for axis in data.axes(survey))
    return there and has_plane_of(survey, scales.LOSS) and has_points_between(survey)


def in_unit_of_loss(survey: xr.Dataset) -> dict[str, list[data.Field]]:
    """List the loss and other quantities in its unit, by metric: the loss first, then other losses.

    Where the loss is dimensionless, as fractions and ratios are too, other quantities count only if they are called
    losses. Curvature, which has the unit of the loss too, does not.
    """
    losses = data.fields(survey, scales.LOSS)
    units = losses[0].units
    found = {
        metric: fields
        for metric, fields in data.others(survey).items()
        if fields[0].units == units
        and (units or metric.endswith(f"_{scales.LOSS}"))
        and not scales.is_curvature(metric)
    }
    # The order of the variables of a store is that of its files, which has no meaning.
    order = sorted(found, key=lambda metric: (not metric.endswith(f"_{scales.LOSS}"), metric))
    return {scales.LOSS: losses, **{metric: found[metric] for metric in order}}


def undrawn(survey: xr.Dataset) -> dict[str, list[data.Field]]:
    """List by metric what was measured beside loss and accuracy and has no picture of its own.

    Pictures of curves show what is in the unit of the loss, and the ratio of eigenvalues is always shown alone.
    """
    curved = goes_along_curve(survey) or lies_under_curve(survey)
    drawn = {*(in_unit_of_loss(survey) if curved else {}), data.RATIO}
    return {metric: fields for metric, fields in data.others(survey).items() if metric not in drawn}
