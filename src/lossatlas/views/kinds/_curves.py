"""What the pictures of curves between networks draw, and so leave to no other kind."""

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
"""How paths are drawn in every picture; no picture has the last two together."""


def goes_along_curve(survey: xr.Dataset) -> bool:
    """Whether the survey's points lie along a curve between networks, with a loss at each."""
    return len(data.axes(survey)) == 1 and Along.T in survey and bool(data.fields(survey, scales.LOSS))


def lies_under_curve(survey: xr.Dataset) -> bool:
    """Whether the survey is of a plane, and knows where a curve between networks goes on it."""
    there = all(Along.coordinate(axis) in survey for axis in data.axes(survey))
    return there and has_plane_of(survey, scales.LOSS) and has_points_between(survey)


def in_unit_of_loss(survey: xr.Dataset) -> dict[str, list[data.Field]]:
    """The loss, and what else is measured in its unit, by metric: the loss first, then other losses.

    Of a loss without a unit, which fractions and ratios are without too, other quantities must be called losses.
    """
    losses = data.fields(survey, scales.LOSS)
    units = losses[0].units
    found = {
        metric: fields
        for metric, fields in data.others(survey).items()
        if fields[0].units == units and (units or metric.endswith(f"_{scales.LOSS}"))
    }
    # The order of a store's variables is that of its files, which says nothing.
    order = sorted(found, key=lambda metric: (not metric.endswith(f"_{scales.LOSS}"), metric))
    return {scales.LOSS: losses, **{metric: found[metric] for metric in order}}


def undrawn(survey: xr.Dataset) -> dict[str, list[data.Field]]:
    """What is measured beside loss and accuracy, by metric, and no picture of a curve draws."""
    curved = goes_along_curve(survey) or lies_under_curve(survey)
    drawn = in_unit_of_loss(survey) if curved else {}
    return {metric: fields for metric, fields in data.others(survey).items() if metric not in drawn}
