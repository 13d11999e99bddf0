"""What lies along a curve between networks, beside other paths between them."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lossatlas.schema import Along
from lossatlas.views import data, figures, lines, marks
from lossatlas.views.base import View
from lossatlas.views.networks import Networks, networks

__all__ = ["AlongCurve"]

PATHS = (("curve", "curve", "-"), ("straight", "straight line", "--"), ("radial", "through the origin", ":"))
COLOURS = {"curve": "#3b0f70", "straight": "#de4968", "radial": "#8a8d91"}
WIDE, TALL = 4.6, 3.1  # inches of a panel


class AlongCurve(View):
    """One column per split: losses, and accuracies where there are any; norms and distances below them."""

    needs = "one axis, a loss, and other paths beside it"
    caption = (
        "Loss and accuracy along the curve, on the straight line and on the path through the origin; the norm of the "
        "weights on the curve and its distance from that path."
    )
    rank = 8

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) == 1 and Along.T in survey and bool(data.fields(survey, data.LOSS))

    def draw(self, survey: xr.Dataset, title: str) -> Figure:
        losses, accuracies = (data.fields(survey, metric) for metric in (data.LOSS, data.ACCURACY))
        rows = 2 + bool(accuracies)
        drawn = figures.figure(WIDE * max(2, len(losses)), TALL * rows, title)
        panels = drawn.subplots(rows, max(2, len(losses)), squeeze=False)
        there = networks(survey)
        for row, fields in enumerate(some for some in (losses, accuracies) if some):
            _paths(panels[row], survey, fields, there)
        _geometry(panels[-1], survey)
        for ax in panels.flat:
            if not ax.has_data():
                ax.set_axis_off()
        keys = {line.get_label(): line for ax in drawn.axes for line in ax.get_lines()}
        named = [keys[label] for _, label, _ in PATHS if label in keys]
        figures.captioned(drawn, there.outside, *data.notes(survey), keys=named)
        return drawn


def _paths(panels: np.ndarray, survey: xr.Dataset, fields: list[data.Field], there: Networks) -> None:
    """One metric on all paths, a panel per split, all to one scale."""
    at = lines.along(survey)
    curves = []
    for field in fields:
        own = {"curve": field.values}
        for path, _, _ in PATHS[1:]:
            name = Along.of(path, field.split, field.metric)
            if name in survey:
                own[path] = np.asarray(survey[name].values, dtype=np.float64)
        curves.append(own)
    everything = np.stack([values for own in curves for values in own.values()])
    limits = data.limits(everything, log=fields[0].metric == data.LOSS)
    for ax, field, own in zip(panels, fields, curves, strict=False):
        if limits.log:
            ax.set_yscale("log")
        for path, label, style in PATHS:
            if path in own:
                shown = np.where(np.isfinite(own[path]), limits.shown(own[path]), np.nan)
                ax.plot(at, shown, style, color=COLOURS[path], linewidth=1.7, label=label)
        lines.frame(ax, everything, limits)
        ax.set_title(field.label, fontsize=10, color=figures.GREY, pad=16)
        ax.set_ylabel(field.scale_label(limits))
        _dress(ax)
        marks.mark_line(ax, there, 0.75 * WIDE)


def _geometry(panels: np.ndarray, survey: xr.Dataset) -> None:
    """Norms, and distances from the path through the origin, beside where a straight line would be."""
    at = lines.along(survey)
    shown = [(Along.NORM, "norm of the weights")]
    shown += [(Along.RADIAL_DISTANCE, "distance from the path\nthrough the origin")]
    shown += [(Along.LENGTH, "length so far")]
    there = [(name, label) for name, label in shown if name in survey]
    for ax, (name, label) in zip(panels, there, strict=False):
        ax.plot(at, survey[name].values, "-", color=COLOURS["curve"], linewidth=1.7)
        ax.set_ylim(0, 1.08 * float(np.max(survey[name].values)))
        ax.set_ylabel(label)
        _dress(ax)


def _dress(ax: Axes) -> None:
    ax.set_xlabel("t")
    ax.margins(x=0.02)
    ax.tick_params(labelsize=8)
