"""Maps of loss and accuracy with a panel per split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import data, figures, scales
from lossatlas.views.contours import Maps, Panel, contour_maps
from lossatlas.views.networks import networks
from lossatlas.views.style import Style

__all__ = [
    "errors_of",
    "has_plane_of",
    "has_points_between",
    "maps_of",
    "panel_of",
    "split_contours",
    "split_maps",
]


def has_plane_of(survey: xr.Dataset, metric: str) -> bool:
    """Whether the survey has two axes and the metric for at least one split."""
    return len(data.axes(survey)) == 2 and bool(data.fields(survey, metric))


def has_points_between(survey: xr.Dataset) -> bool:
    """Whether each axis has at least two points, as contours need."""
    return all(survey.sizes[axis] > 1 for axis in data.axes(survey))


def split_maps(survey: xr.Dataset, metric: str, palette: figures.Palette, style: Style) -> Figure:
    """Draw a heat map of the metric per split, with one colour scale."""
    splits = data.fields(survey, metric)
    limits = style.limit(splits, log=metric == scales.LOSS)
    there = networks(survey)
    return figures.heat_maps(
        style,
        survey,
        [(field.label, field.plane()) for field in splits],
        limits,
        style.colour(palette, metric),
        colour_label=splits[0].scale_label(limits),
        notes=[errors_of(splits), there.outside, *data.notes(survey)],
        networks=there,
    )


def split_contours(survey: xr.Dataset, style: Style, *, filled: bool) -> Figure:
    """Draw contours of the loss, a panel per split, with the same levels."""
    splits = data.fields(survey, scales.LOSS)
    return contour_maps(
        style,
        [maps_of(survey, splits, style)],
        filled=filled,
        shared=True,
        notes=[errors_of(splits), networks(survey).outside, *data.notes(survey)],
    )


def maps_of(survey: xr.Dataset, splits: Sequence[data.Field], style: Style) -> Maps:
    """Prepare contour maps of a quantity whose low values are good, a panel per split."""
    limits = style.limit(splits)
    palette = style.colour(figures.LOSS, splits[0].metric)
    panels = [panel_of(survey, field, field.label) for field in splits]
    return Maps(panels, limits, palette, splits[0].scale_label(limits), splits[0].metric.replace("_", " "))


def panel_of(survey: xr.Dataset, field: data.Field, title: str) -> Panel:
    """Prepare the contour map of one field of a survey with two axes."""
    u, v = data.axes(survey)
    at = tuple(data.read_numbers(survey, axis) for axis in (u, v))
    labels = data.axis_label(survey, u), data.axis_label(survey, v)
    return Panel(title, (at[0], at[1]), field.plane(), labels, networks(survey))


def errors_of(splits: Sequence[data.Field]) -> str:
    """Make a note on the standard errors, which a map cannot show; empty where all examples were evaluated."""
    errors = [field.error[np.isfinite(field.error)] for field in splits if field.error is not None]
    largest = [float(error.max()) for error in errors if error.size]
    return f"standard errors of the means up to {scales.number(max(largest))}" if largest else ""
