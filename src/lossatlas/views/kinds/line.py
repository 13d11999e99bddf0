"""Loss and accuracy along a chart with one axis."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lossatlas.views import data, figures
from lossatlas.views.base import View

__all__ = ["Line"]

LOSS_COLOURS = ("#3b0f70", "#de4968", "#fe9f6d", "#8c2981")
ACCURACY_COLOURS = ("#1f7a8c", "#35b779", "#6d8b00", "#31688e")
SHADE = {1: ("low loss asked for", "#cfc8e8"), -1: ("high loss asked for", "#fdf0cd")}
UNNAMED = "_lost"
FEW = 80  # points; above this their marks would merge into a thick line


class Line(View):
    """Each split's loss on a logarithmic axis and its accuracy on a second axis; asked-for intervals are shaded."""

    needs = "one axis and a loss or an accuracy"
    caption = "Loss (left axis, solid) and accuracy (right, dashed) along the line; shaded where they were asked for."
    rank = 20

    def applies(self, survey: xr.Dataset) -> bool:
        some = (data.fields(survey, metric) for metric in (data.LOSS, data.ACCURACY))
        return len(data.axes(survey)) == 1 and any(some)

    def draw(self, survey: xr.Dataset, title: str) -> Figure:
        (axis,) = data.axes(survey)
        losses, accuracies = (data.fields(survey, metric) for metric in (data.LOSS, data.ACCURACY))
        drawn = figures.figure(8.0, 4.6, title)
        ax = drawn.add_subplot()
        ax.set_xlabel(data.axis_label(survey, axis))
        ax.margins(x=0.02)
        at = np.asarray(survey[axis].values, dtype=np.float64)
        notes = _curves(ax, at, losses, LOSS_COLOURS, "-") if losses else ""
        right = ax.twinx() if losses and accuracies else ax
        if accuracies:
            _curves(right, at, accuracies, ACCURACY_COLOURS, "--")
        shades = list(_shade(ax, survey))
        everything = np.stack([field.values for field in (*losses, *accuracies)])
        curves = [line for axes in drawn.axes for line in axes.get_lines() if line.get_label() != UNNAMED]
        invalid = data.invalid(everything)
        marked = f"{invalid}, marked \u00d7 at the top" * bool(invalid)
        figures.captioned(drawn, notes, marked, keys=[*curves, *shades])
        return drawn


def _curves(ax: Axes, at: data.Floats, splits: list[data.Field], colours: tuple[str, ...], style: str) -> str:
    """Draw the curves of one metric against its own axis; returns the note on its scale."""
    everything = np.stack([field.values for field in splits])
    limits = data.limits(everything, log=splits[0].metric == data.LOSS)
    if limits.log:
        ax.set_yscale("log")
    for index, field in enumerate(splits):
        colour = colours[index % len(colours)]
        shown = np.where(np.isfinite(field.values), limits.shown(field.values), np.nan)
        mark = "." if len(at) <= FEW else ""
        ax.plot(at, shown, style, color=colour, marker=mark, markersize=4, linewidth=1.6, label=field.label)
        lost = at[~np.isfinite(field.values)]
        # A split's marks stand a little below those of the split before it, so that none hides another.
        height = 0.97 - 0.04 * index
        ax.plot(
            lost,
            np.full(lost.shape, height),
            "x",
            color=colour,
            markersize=5,
            transform=ax.get_xaxis_transform(),
            label=UNNAMED,
            scalex=False,
            scaley=False,
        )
    _frame(ax, everything, limits)
    ax.set_ylabel(splits[0].scale_label(limits))
    ax.tick_params(labelsize=8)
    return limits.note


def _frame(ax: Axes, values: data.Floats, limits: data.Limits) -> None:
    shown = limits.shown(values[np.isfinite(values)])
    varies = shown.size > 0 and shown.min() < shown.max()
    low, high = (shown.min(), shown.max()) if varies else (limits.low, limits.high)
    if limits.log:
        pad = (high / low) ** 0.06
        ax.set_ylim(low / pad, high * pad)
        figures.log_axis(ax.yaxis, low / pad, high * pad)
    else:
        ax.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))


def _shade(ax: Axes, survey: xr.Dataset) -> Iterator[Patch]:
    wanted = data.target(survey)
    if wanted is None:
        return
    (edges,) = data.edges(survey)
    for sign, (words, colour) in SHADE.items():
        starts, ends = data.runs(wanted == sign)
        for start, end in zip(starts, ends, strict=True):
            ax.axvspan(edges[start], edges[end], color=colour, linewidth=0, zorder=0)
        if len(starts):
            yield Patch(color=colour, label=words)
