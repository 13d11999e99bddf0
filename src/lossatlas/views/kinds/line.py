"""Loss and accuracy along a chart with one axis."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import data, figures, lines, marks, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.kinds._curves import goes_along_curve
from lossatlas.views.networks import networks
from lossatlas.views.style import SCALED, Style

__all__ = ["Line"]

WIDTH = 8.0  # inches; the natural width


class Line(SurveyView):
    """The loss of each split on a logarithmic axis and the accuracy on a second one; requested intervals are shaded."""

    needs = "one axis, a loss or an accuracy, and no curve between networks, which the view curve draws"
    caption = "The loss (solid, left axis) and the accuracy (dashed, right axis) along the line."
    rank = 20
    heeds = SCALED

    def applies(self, survey: xr.Dataset) -> bool:
        some = (data.fields(survey, metric) for metric in (scales.LOSS, scales.ACCURACY))
        return len(data.axes(survey)) == 1 and any(some) and not goes_along_curve(survey)

    def describe(self, survey: xr.Dataset) -> str:
        if data.target(survey) is None:
            return self.caption
        return f"{self.caption} Shading marks where a low or a high loss was requested."

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        return [*data.fields(survey, scales.LOSS), *data.fields(survey, scales.ACCURACY)]

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        (axis,) = data.axes(survey)
        losses, accuracies = (data.fields(survey, metric) for metric in (scales.LOSS, scales.ACCURACY))
        drawn = figures.figure(style, WIDTH, 4.6)
        ax = drawn.add_subplot()
        ax.set_xlabel(data.axis_label(survey, axis))
        ax.margins(x=0.02)
        at, there = lines.along(survey), networks(survey)
        scale = ""
        if losses:
            limits = style.limit(losses, log=True)
            lines.curves(ax, [at] * len(losses), losses, limits, lines.LOSS_COLOURS, "-")
            scale = limits.note
        if accuracies:
            right = ax.twinx() if losses else ax
            limits = style.limit(accuracies, log=False)
            lines.curves(right, [at] * len(accuracies), accuracies, limits, lines.ACCURACY_COLOURS, "--")
        shades = list(lines.shades(ax, survey))
        marks.mark_line(ax, there, 0.8 * drawn.get_figwidth())
        every = [*losses, *accuracies]
        marked = scales.invalid(np.stack([field.values for field in every])).describe(lines.MARKED)
        banded = "bands: two standard errors above and below" * any(field.error is not None for field in every)
        sentences = (scale, marked, banded, there.outside, *data.notes(survey))
        figures.captioned(drawn, *sentences, keys=[*lines.keys(drawn), *shades])
        return drawn
