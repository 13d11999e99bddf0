"""All quantities beside loss and accuracy."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from lossatlas.views import data, figures, lines, looks, marks, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.kinds._curves import undrawn
from lossatlas.views.networks import networks
from lossatlas.views.style import COLOURED, SCALED, Style

__all__ = ["Others"]

WIDTH, HEIGHT = 8.0, 2.6  # inches; the size of the curves of one quantity


class Others(SurveyView):
    """Heat maps or curves of every further quantity, each on its own scale: a row per quantity, splits side by side.

    For a curve between networks, or its plane, quantities that the pictures of curves show are left out.
    """

    needs = "one axis or two, and a quantity beside loss and accuracy; for a curve one in another unit than the loss"
    caption = "All quantities that were measured beside loss and accuracy, a row for each, on its own scale."
    rank = 50
    heeds = COLOURED
    metric = ""

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) in (1, 2) and bool(undrawn(survey))

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        return [field for fields in undrawn(survey).values() for field in fields]

    def list_heeded(self, survey: xr.Dataset) -> frozenset[str]:
        return SCALED if len(data.axes(survey)) == 1 else self.heeds

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        return (_lines if len(data.axes(survey)) == 1 else _maps)(survey, style)


def _lines(survey: xr.Dataset, style: Style) -> Figure:
    """Draw a row of curves per quantity along the same axis, a colour per split."""
    (axis,) = data.axes(survey)
    metrics = undrawn(survey)
    drawn = figures.figure(style, WIDTH, 1.4 + HEIGHT * len(metrics))
    at, there = lines.along(survey), networks(survey)
    first: Axes | None = None
    for row, fields in enumerate(metrics.values()):
        ax = drawn.add_subplot(len(metrics), 1, row + 1, sharex=first)
        limits = style.limit(fields)
        colours = lines.ACCURACY_COLOURS if _is_share(fields[0]) else lines.LOSS_COLOURS
        lines.curves(ax, [at] * len(fields), fields, limits, colours, "-")
        ax.margins(x=0.02)
        last = row == len(metrics) - 1
        ax.set_xlabel(data.axis_label(survey, axis) if last else "")
        ax.tick_params(labelbottom=last)
        if first is None:
            first = ax
            marks.mark_line(ax, there, 0.8 * WIDTH)
        else:
            marks.cross(ax, there)
    every = [field for fields in metrics.values() for field in fields]
    invalid = sum(int(scales.invalid(field.values).nan + scales.invalid(field.values).inf) for field in every)
    marked = f"not finite: {invalid:,}{lines.MARKED}" * (invalid > 0)
    banded = "bands: two standard errors above and below" * any(field.error is not None for field in every)
    figures.captioned(drawn, marked, banded, there.outside, *data.notes(survey), keys=lines.keys(drawn))
    return drawn


def _maps(survey: xr.Dataset, style: Style) -> Figure:
    """Draw a row of heat maps per quantity with its own colour bar, splits side by side."""
    metrics = undrawn(survey)
    edges, there = data.edges(survey), networks(survey)
    columns = max(len(fields) for fields in metrics.values())
    margins = 0.6 + 1.2 * columns, 0.8 + 0.7 * len(metrics)
    width, height = figures.panel_size(edges, columns, len(metrics), margins, style.width)
    drawn = figures.figure(style, width, height)
    grid = drawn.add_gridspec(len(metrics), columns)
    labels = [data.axis_label(survey, axis) for axis in data.axes(survey)]
    sides = (width - 1.4) / columns - 0.6, height / len(metrics) - 0.8
    for row, fields in enumerate(metrics.values()):
        limits = style.limit(fields)
        norm = (LogNorm if limits.log else Normalize)(limits.low, limits.high)
        palette = style.colour(figures.ACCURACY if _is_share(fields[0]) else figures.LOSS, fields[0].metric)
        placed = []
        for column, field in enumerate(fields):
            ax = drawn.add_subplot(grid[row, column])
            figures.heat_map(ax, field.plane(), edges, limits, norm, palette)
            ax.set_title(field.label, fontsize=10, color=looks.INK)
            last = row == len(metrics) - 1
            ax.set_xlabel(figures.wrapped(labels[0], sides[0]) if last else "")
            ax.set_ylabel(figures.wrapped(labels[1], sides[1]) if column == 0 else "")
            marks.mark_plane(ax, there)
            placed.append(ax)
        figures.colour_bar(drawn, placed, norm, limits, palette, fields[0].scale_label(limits), flat=False)
    invalid = scales.invalid(np.stack([field.values for fields in metrics.values() for field in fields]))
    hatched = figures.hatched(figures.LOSS, invalid)
    figures.captioned(drawn, there.outside, *data.notes(survey), keys=hatched)
    return drawn


def _is_share(field: data.Field) -> bool:
    """Whether the quantity is a kind of accuracy, whose high values are good."""
    return field.metric.endswith(scales.ACCURACY)
