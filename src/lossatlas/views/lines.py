"""Drawing that the pictures of charts with one axis share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lossatlas.schema import Along
from lossatlas.views import data, figures, scales
from lossatlas.views.looks import GREY
from lossatlas.views.scales import Floats, Limits

__all__ = [
    "ACCURACY_COLOURS",
    "FEW",
    "LOSS_COLOURS",
    "MARKED",
    "UNNAMED",
    "Stroke",
    "along",
    "beside",
    "curve",
    "curves",
    "frame",
    "keys",
    "shades",
]

LOSS_COLOURS = ("#3b0f70", "#de4968", "#fe9f6d", "#8c2981")
ACCURACY_COLOURS = ("#1f7a8c", "#35b779", "#6d8b00", "#31688e")
SHADE = {1: ("low loss requested", "#cfc8e8"), -1: ("high loss requested", "#fdf0cd")}
UNNAMED = "_"
"""The label of curves that the legend leaves out."""
MARKED = ", marked \u00d7 at the top"
"""The end of the note on values that are not finite: how they are shown."""
FEW = 80
"""Points; the marks of more would merge into a thick line."""


def along(survey: xr.Dataset) -> Floats:
    """Return the coordinates of the points along the only axis, (U,)."""
    (axis,) = data.axes(survey)
    return data.read_numbers(survey, axis)


def beside(survey: xr.Dataset) -> Floats:
    """Return the t of what is stored beside a curve, (T,): fewer points than its own where a region is finer."""
    return data.read_numbers(survey, Along.T) if Along.T in survey else along(survey)


@dataclass(frozen=True)
class Stroke:
    """How a curve is drawn.

    Attributes:
        colour: The colour of the line, its band and its marks.
        style: The style of the line in matplotlib's notation: ``-``, ``--`` or ``:``.
        label: The legend entry, or :data:`UNNAMED`.
        mark: The marker at each point; empty draws none.
    """

    colour: str
    style: str
    label: str
    mark: str = ""


def curves(
    ax: Axes,
    places: Sequence[Floats],
    fields: Sequence[data.Field],
    limits: Limits,
    colours: Sequence[str],
    style: str,
    labels: Sequence[str] = (),
) -> None:
    """Draw the curves of one metric on their axes, with bands of two standard errors where these are known.

    Args:
        ax: the axes, whose scale, limits and label are set for the metric.
        places: coordinates along the chart (U,) of each curve; U may differ from curve to curve.
        fields: the curves.
        limits: the range of all curves.
        colours: one for each curve, repeated where there are fewer.
        style: the style of the lines, ``-`` or ``--``.
        labels: the legend entries; by default the labels of the fields.
    """
    drawn = []
    for index, (at, field) in enumerate(zip(places, fields, strict=True)):
        colour = colours[index % len(colours)]
        mark = "." if len(at) <= FEW else ""
        label = labels[index] if labels else field.label
        drawn.append(curve(ax, at, field, limits, Stroke(colour, style, label, mark), index))
    frame(ax, np.concatenate(drawn), limits)
    ax.set_ylabel(fields[0].scale_label(limits))


def curve(ax: Axes, at: Floats, field: data.Field, limits: Limits, stroke: Stroke, place: int) -> Floats:
    """Draw one curve with its band, and marks at the top where it is not finite.

    Args:
        ax: the axes; their scale and limits are left to :func:`frame`.
        at: coordinates along the chart (U,).
        field: the curve.
        limits: the range of all curves of the metric.
        stroke: colour, style, label and marker of the curve.
        place: the index of the curve in these axes, from 0.

    Returns:
        All drawn values for :func:`frame`, in one dimension, NaN where the curve is not finite.
    """
    ax.tick_params(labelsize=8)
    shown = np.where(np.isfinite(field.values), limits.shown(field.values), np.nan)
    band = _band(field, limits)
    if band is not None:
        ax.fill_between(at, *band, color=stroke.colour, alpha=0.22, linewidth=0, label=UNNAMED)
    ax.plot(
        at, shown, stroke.style, color=stroke.colour, marker=stroke.mark, markersize=4, linewidth=1.6,
        label=figures.listed(stroke.label) if stroke.label != UNNAMED else UNNAMED,
    )  # fmt: skip
    lost = at[~np.isfinite(field.values)]
    # The marks of each curve stand slightly below those of the previous curve, so that none hides another.
    height = np.full(lost.shape, 0.97 - 0.04 * (place % 20))
    ax.plot(
        lost, height, "x", color=stroke.colour, markersize=5, transform=ax.get_xaxis_transform(), label=UNNAMED,
        scalex=False, scaley=False,
    )  # fmt: skip
    return np.concatenate([shown, *(band or ())])


def frame(ax: Axes, shown: Floats, limits: Limits) -> None:
    """Set the scale of the vertical axis and limits slightly beyond the values, with round ticks if logarithmic."""
    finite = shown[np.isfinite(shown) & ((shown > 0) | (not limits.log))]
    varies = finite.size > 0 and finite.min() < finite.max() and not limits.requested
    low, high = (float(finite.min()), float(finite.max())) if varies else (limits.low, limits.high)
    beyond = 0.0 if limits.requested else 0.06
    if limits.log:
        ax.set_yscale("log")
        pad = (high / low) ** beyond
        figures.limit_upright(ax, low / pad, high * pad)
        figures.log_axis(ax.yaxis, low / pad, high * pad)
    elif limits.linear is not None:
        ax.set_yscale("asinh", linear_width=limits.linear)
        ends = scales.to_decades(np.array([low, high]), limits.linear)
        ends += beyond * np.ptp(ends) * np.array([-1, 1])
        low, high = (float(end) for end in limits.linear * np.sinh(ends * np.log(10)))
        figures.limit_upright(ax, low, high)
        figures.scale_axis(ax.yaxis, limits, low, high)
    else:
        figures.limit_upright(ax, low - beyond * (high - low), high + beyond * (high - low))
    if limits.signed:
        ax.axhline(0, color=GREY, linewidth=0.8, label=UNNAMED, zorder=1)


def keys(drawn: Figure) -> list[Artist]:
    """List the named curves of a figure, for its legend."""
    return [line for ax in drawn.axes for line in ax.get_lines() if not str(line.get_label()).startswith("_")]


def shades(ax: Axes, survey: xr.Dataset) -> Iterator[Patch]:
    """Shade the intervals in which a low or a high loss was requested; yields their legend entries."""
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


def _band(field: data.Field, limits: Limits) -> tuple[Floats, Floats] | None:
    """Compute the drawn band of a curve, which ends at the lowest value rather than at zero on a logarithmic scale."""
    band = field.band()
    if band is None:
        return None
    low, high = (np.where(np.isfinite(end), end, np.nan) for end in band)
    return (np.maximum(low, limits.low / 2), np.maximum(high, limits.low / 2)) if limits.log else (low, high)
