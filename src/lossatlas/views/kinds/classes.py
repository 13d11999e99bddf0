"""Metrics with one value per class."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import data, figures, lines, looks, marks, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.networks import networks
from lossatlas.views.style import COLOURED, SCALED, Style

__all__ = ["Classes"]

MOST = 10  # classes; a page cannot show more legibly
ABREAST = 5
LEAST = 1.1  # inches; the least width of a panel of curves
BEHIND = "#c9ccd4"


class Classes(SurveyView):
    """A panel per class of one metric and split (test, if there is one), all with the same scale."""

    needs = "one axis or two, and a metric with one value per class"
    caption = "A metric, such as the loss or the accuracy, for each class separately, with a common scale."
    rank = 55
    heeds = COLOURED
    metric = ""

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) in (1, 2) and bool(data.by_class(survey))

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        return next(iter(data.by_class(survey).values()))[:MOST]

    def list_heeded(self, survey: xr.Dataset) -> frozenset[str]:
        return SCALED if len(data.axes(survey)) == 1 else self.heeds

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        every = next(iter(data.by_class(survey).values()))
        shown = every[:MOST]
        left_out = f"{len(shown)} of {len(every)} classes" * (len(shown) < len(every))
        limits = style.limit(shown)
        what = f"{shown[0].split} {shown[0].scale_label(limits)}".strip()
        there = networks(survey)
        notes = [left_out, there.outside, *data.notes(survey)]
        if len(data.axes(survey)) == 1:
            return _lines(survey, shown, limits, what, style, notes)
        return figures.heat_maps(
            style,
            survey,
            [(field.label, field.plane()) for field in shown],
            limits,
            style.colour(figures.choose_palette(shown[0], limits), shown[0].metric),
            colour_label=what,
            notes=notes,
        )


def _lines(
    survey: xr.Dataset, shown: list[data.Field], limits: scales.Limits, what: str, style: Style, notes: list[str]
) -> Figure:
    """Draw the curve of each class in front of those of all other classes in grey."""
    (axis,) = data.axes(survey)
    room = ABREAST if style.width is None else max(1, int(style.width / LEAST))
    columns = min(ABREAST, room, len(shown))
    rows = -(-len(shown) // columns)
    drawn = figures.figure(style, 1.2 + 2.0 * columns, 1.6 + 1.8 * rows)
    at, there = lines.along(survey), networks(survey)
    curves = [np.where(np.isfinite(field.values), limits.shown(field.values), np.nan) for field in shown]
    for index, field in enumerate(shown):
        ax = drawn.add_subplot(rows, columns, index + 1)
        ax.plot(at, np.stack(curves).T, "-", color=BEHIND, linewidth=0.7)
        ax.plot(at, curves[index], "-", color=lines.LOSS_COLOURS[0], linewidth=1.6)
        lines.frame(ax, np.concatenate(curves), limits)
        ax.margins(x=0.02)
        marks.cross(ax, there)
        ax.set_title(field.label, fontsize=9, color=looks.INK)
        first, last = index % columns == 0, index + columns >= len(shown)
        ax.tick_params(labelsize=8, labelleft=first, labelbottom=last)
        middle = index == len(shown) - 1 - (len(shown) - 1) % columns // 2
        ax.set_xlabel(data.axis_label(survey, axis) if middle else "")
    drawn.supylabel(what, fontsize=10)
    left_out = scales.invalid(np.stack([field.values for field in shown])).describe(", left out")
    crossed = f"dashed: {', '.join(there.names)}" * bool(there)
    figures.captioned(drawn, "grey: the other classes", crossed, left_out, *notes)
    return drawn
