"""The loss of several repeats of a slice, or of members or samples."""

from __future__ import annotations

from itertools import islice

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lossatlas.views import data, figures, lines, looks, marks, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.contours import Maps, contour_maps
from lossatlas.views.kinds._splits import has_points_between, panel_of
from lossatlas.views.networks import networks
from lossatlas.views.style import CONTOURED, MILLIMETRE, SCALED, Style

__all__ = ["Repeats"]

MOST = 12  # panels; a page cannot show more legibly
PANEL = 5.2  # inches; the width of a panel of curves


class Repeats(SurveyView):
    """Curves of the loss of all samples with their mean and spread, or contours of each with the same levels."""

    needs = "several repeats, members or samples, one axis or two with at least two points each, and a loss"
    caption = (
        "The loss of every repeat, member or sample, which shows how much the landscape depends on the choice of one."
    )
    rank = 15
    narrowest = 80 * MILLIMETRE
    heeds = CONTOURED
    all_samples = True

    def applies(self, survey: xr.Dataset) -> bool:
        if data.count_samples(survey) < 2 or not data.fields(data.take_first_sample(survey), scales.LOSS):
            return False
        return len(data.axes(survey)) == 1 or (len(data.axes(survey)) == 2 and has_points_between(survey))

    def describe(self, survey: xr.Dataset) -> str:
        samples = data.samples_in_words(survey)
        return f"The loss of {samples}, which shows how much the landscape depends on the choice of one."

    def describe_alternative(self, survey: xr.Dataset) -> str:
        told = [
            f"{name}: {data.describe_extremes(one, data.fields(one, scales.LOSS))}"
            for name, one in islice(data.split_samples(survey).items(), MOST)
        ]
        return " ".join([self.describe(survey), *told])

    def list_heeded(self, survey: xr.Dataset) -> frozenset[str]:
        return SCALED if len(data.axes(survey)) == 1 else self.heeds

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        return (_lines if len(data.axes(survey)) == 1 else _planes)(survey, style)


def _lines(survey: xr.Dataset, style: Style) -> Figure:
    """Draw a panel per split on shared axes: a thin curve per sample, their mean, and a band around it."""
    (axis,) = data.axes(survey)
    samples = [data.fields(one, scales.LOSS) for one in data.split_samples(survey).values()]
    everything = np.stack([[field.values for field in splits] for splits in samples])
    limits = style.limit_values(everything, scales.limits(everything, log=True))
    count = len(samples[0])
    abreast = 1 if style.is_narrower(figures.NARROW) else count
    down = -(-count // abreast)
    drawn = figures.figure(style, 2.0 + PANEL * abreast, 4.6 * down)
    at, there = lines.along(survey), networks(survey)
    for index, field in enumerate(samples[0]):
        ax = drawn.add_subplot(down, abreast, index + 1)
        colour = lines.LOSS_COLOURS[index % len(lines.LOSS_COLOURS)]
        shown = np.where(np.isfinite(everything[:, index]), limits.shown(everything[:, index]), np.nan)
        mean, low, high = scales.spread(shown, log=limits.log)
        ax.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.plot(at, shown.T, "-", color=colour, linewidth=0.7, alpha=0.55)
        ax.plot(at, mean, "-", color=colour, linewidth=2.2)
        lines.frame(ax, limits.shown(everything), limits)
        ax.margins(x=0.02)
        first, last = index % abreast == 0, index + abreast >= count
        ax.set_xlabel(data.axis_label(survey, axis) if last else "")
        ax.set_ylabel(field.scale_label(limits) if first else "")
        ax.tick_params(labelsize=8, labelleft=first)
        rows = marks.mark_line(ax, there, 0.85 * PANEL)
        ax.set_title(field.label, fontsize=10, color=looks.INK, pad=6 + marks.ROW * rows)
    keys = [
        Line2D([], [], color=figures.GREY, linewidth=0.7, label=data.samples_in_words(survey)),
        Line2D([], [], color=figures.GREY, linewidth=2.2, label="geometric mean" if limits.log else "mean"),
        Patch(color=figures.GREY, alpha=0.2, linewidth=0, label="one standard deviation above and below"),
    ]
    left_out = scales.invalid(everything).describe(", left out")
    figures.captioned(drawn, limits.note, left_out, there.outside, *data.notes(survey), keys=keys)
    return drawn


def _planes(survey: xr.Dataset, style: Style) -> Figure:
    """Draw a panel per sample for the preferred split, with one colour scale and the same levels."""
    samples = data.split_samples(survey)
    chosen = dict(islice(samples.items(), MOST))
    shown = [data.preferred(data.fields(one, scales.LOSS)) for one in chosen.values()]
    limits = style.limit(shown, log=True)
    panels = [panel_of(one, field, name) for (name, one), field in zip(chosen.items(), shown, strict=True)]
    left_out = f"{len(chosen)} of {data.samples_in_words(survey)}" * (len(chosen) < len(samples))
    label = f"{shown[0].split} {shown[0].scale_label(limits)}".strip()
    return contour_maps(
        style,
        [Maps(panels, limits, style.colour(figures.LOSS, scales.LOSS), label)],
        filled=True,
        shared=True,
        notes=[left_out, networks(data.take_first_sample(survey)).outside, *data.notes(survey)],
    )
