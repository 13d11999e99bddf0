"""All quantities beside loss and accuracy."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lossatlas.views import data, figures, lines, looks, marks, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.kinds._curves import undrawn
from lossatlas.views.networks import networks
from lossatlas.views.residuals import describe_accuracy
from lossatlas.views.style import COLOURED, SCALED, Style

__all__ = ["Others"]

ABREAST = 2  # maps of a single split, each of which has a colour bar
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
        colours = lines.ACCURACY_COLOURS if figures.is_share(fields[0]) else lines.LOSS_COLOURS
        # The axis says which quantity it is, so that one legend of the splits serves several rows.
        names = [field.split or field.label for field in fields] if len(metrics) > 1 else []
        lines.curves(ax, [at] * len(fields), fields, limits, colours, "-", names)
        ax.set_ylabel(figures.wrapped(fields[0].scale_label(limits), HEIGHT - 0.4))
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
    notes = [marked, banded, *describe_accuracy(survey, every), there.outside, *data.notes(survey)]
    keys = {(key.get_label(), str(key.get_color())): key for key in lines.keys(drawn)}  # type: ignore[attr-defined]
    figures.captioned(drawn, *notes, keys=list(keys.values()))
    return drawn


def _maps(survey: xr.Dataset, style: Style) -> Figure:
    """Draw heat maps, a colour bar per quantity: a row for each with splits side by side, or a grid of one split."""
    metrics = undrawn(survey)
    edges, there = data.edges(survey), networks(survey)
    wide, tall = (float(np.ptp(e)) for e in edges)
    several = max(len(fields) for fields in metrics.values())
    columns = several if several > 1 else min(ABREAST, figures.abreast(len(metrics), wide / tall, style.width))
    rows = len(metrics) if several > 1 else -(-len(metrics) // columns)
    margins = 0.6 + 1.2 * columns, 0.8 + 0.7 * rows
    width, height = figures.panel_size(edges, columns, rows, margins, style.width)
    drawn = figures.figure(style, width, height)
    grid = drawn.add_gridspec(rows, columns)
    labels = [data.axis_label(survey, axis) for axis in data.axes(survey)]
    sides = (width - 1.4) / columns - 0.6, height / rows - 0.8
    palettes = []
    for index, fields in enumerate(metrics.values()):
        limits = style.limit(fields)
        norm = figures.make_norm(limits)
        palettes.append(style.colour(figures.choose_palette(fields[0], limits), fields[0].metric))
        placed = []
        for place, field in enumerate(fields):
            row, column = (index, place) if several > 1 else divmod(index, columns)
            ax = drawn.add_subplot(grid[row, column])
            figures.heat_map(ax, field.plane(), edges, limits, norm, palettes[-1])
            ax.set_title(figures.wrapped(field.label, sides[0] + 0.8), fontsize=10, color=looks.INK)
            last = index + (1 if several > 1 else columns) >= len(metrics)
            ax.set_xlabel(figures.wrapped(labels[0], sides[0]) if last else "")
            ax.set_ylabel(figures.wrapped(labels[1], sides[1]) if column == 0 else "")
            marks.mark_plane(ax, there)
            placed.append(ax)
        label = figures.wrapped(fields[0].scale_label(limits), sides[1] + 0.6)
        figures.colour_bar(drawn, placed, norm, limits, palettes[-1], label, flat=False)
    every = [field for fields in metrics.values() for field in fields]
    hatched = figures.hatched(figures.LOSS, scales.invalid(np.stack([field.values for field in every])))
    signs = figures.tell_shades(figures.SIGNED) * any(p.colours == figures.SIGNED.colours for p in palettes)
    notes = [signs, *describe_accuracy(survey, every), there.outside, *data.notes(survey)]
    figures.captioned(drawn, *notes, keys=hatched)
    return drawn
