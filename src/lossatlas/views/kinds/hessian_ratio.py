"""The ratio of the ends of the Hessian's spectrum, where it is resolved."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import matplotlib.patheffects as effects
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossatlas.views import data, figures, lines, looks, marks, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.contours import label_lines
from lossatlas.views.figures import Palette
from lossatlas.views.kinds._splits import has_points_between
from lossatlas.views.levels import contour_levels
from lossatlas.views.networks import networks
from lossatlas.views.scales import Limits
from lossatlas.views.style import COLOURED, SCALED, Style

__all__ = ["HessianRatio"]

# Blue is almost convex, yellow has as much curvature downwards as upwards, as in figure 7 of arXiv 1712.09913. What is
# not resolved is grey, which the colour map does not contain in this lightness.
CONVEX = Palette("cividis", "#eceef1", "#a3a8b3")
WHOLE = Limits(0.0, 1.0, False, None, "neither", "scale from 0 to 1")
WIDTH, HEIGHT = 8.6, 4.6  # inches
PALE = 0.35


class HessianRatio(SurveyView):
    """A map of the ratio, masked where it is not resolved, with contours of the loss; or curves with gaps."""

    needs = "one axis or two, and the metric hessian_ratio"
    caption = (
        "The magnitude of the smallest eigenvalue of the Hessian over the largest one: near 0 the loss is almost "
        "convex; where the smallest is negative, it curves downwards as much as upwards at 1."
    )
    rank = 45
    heeds = COLOURED
    metric = data.RATIO

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) in (1, 2) and bool(data.fields(survey, data.RATIO))

    def list_heeded(self, survey: xr.Dataset) -> frozenset[str]:
        return SCALED if len(data.axes(survey)) == 1 else self.heeds

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        return (_curves if len(data.axes(survey)) == 1 else _maps)(survey, style)


def _limit(style: Style, fields: Sequence[data.Field]) -> Limits:
    """Find the range of the scale: from 0 to 1 unless another one is asked for."""
    values = np.concatenate([field.resolved.ravel() for field in fields])
    beyond = int((values > 1).sum())
    whole = Limits(0.0, 1.0, False, None, "max", f"{WHOLE.note}; values beyond it: {beyond}") if beyond else WHOLE
    return style.limit_values(values, whole) if style.concerns(data.RATIO) else whole


def _describe_resolved(fields: Sequence[data.Field]) -> str:
    """State at how many points the ratio is resolved, at how many it is not known, and its range."""
    every = np.concatenate([field.resolved.ravel() for field in fields])
    known = every[np.isfinite(every)]
    several = f" of {len(fields)} splits" * (len(fields) > 1)
    lost = int(sum(scales.invalid(field.values).nan + scales.invalid(field.values).inf for field in fields))
    said = f"resolved (residual at most {data.RESOLVED:g}) at {known.size:,} of {every.size:,} points{several}"
    share = f", {scales.percent(known.size / every.size)}"
    unknown = f"; not finite at {lost:,}" * (lost > 0)
    span = f"; from {scales.number(float(known.min()))} to {scales.number(float(known.max()))}" if known.size else ""
    bare = "; residuals were not stored" * any(field.residual is None for field in fields)
    return said + share + unknown + span + bare


def _maps(survey: xr.Dataset, style: Style) -> Figure:
    """Draw a map per split with contours of the loss of the same split, where it was surveyed."""
    fields = data.fields(survey, data.RATIO)
    limits, there = _limit(style, fields), networks(survey)
    losses = {field.split: field for field in data.fields(survey, scales.LOSS)} if has_points_between(survey) else {}
    grounds = [losses.get(field.split) for field in fields]
    masked = sum(int((~np.isfinite(field.resolved)).sum()) for field in fields)
    palette = style.colour(CONVEX, data.RATIO)
    shades = "blue is low, yellow is high" * (palette.colours == CONVEX.colours)
    crossed = _describe_contours([ground for ground in grounds if ground is not None])
    drawn = figures.heat_maps(
        style,
        survey,
        [(field.split or field.label, field.resolved.T) for field in fields],
        limits,
        palette,
        colour_label="|smallest / largest| eigenvalue",
        lost=f"not resolved: {masked:,} of {sum(field.values.size for field in fields):,} points" * (masked > 0),
        notes=[_describe_resolved(fields), crossed, shades, there.outside, *data.notes(survey)],
        networks=there,
    )
    levels = _list_levels([ground for ground in grounds if ground is not None])
    passed = [
        crossing
        for ax, ground in zip(drawn.axes, grounds, strict=False)
        if ground is not None and (crossing := _cross(ax, survey, ground, levels)) is not None
    ]
    if passed:
        # Labels are placed, and lines interrupted for them, only after the layout has fixed the panels.
        letters = 7.5 * figures.read_lettering(drawn)
        figures.fit_text(drawn)
        drawn.draw_without_rendering()
        frame = [np.array([edges[0], edges[-1]]) for edges in data.edges(survey)]
        for crossing in passed:
            label_lines(crossing, there, frame, letters, halo=looks.INK)
    return drawn


def _list_levels(grounds: Sequence[data.Field]) -> list[float]:
    return contour_levels(data.limits_of(grounds, log=True)) if grounds else []


def _describe_contours(grounds: Sequence[data.Field]) -> str:
    if not grounds:
        return ""
    levels = ", ".join(map(figures.tick_text, _list_levels(grounds)))
    return f"lines: contours of the loss ({grounds[0].units}) at {levels}".replace(" ()", "")


def _cross(ax: Axes, survey: xr.Dataset, ground: data.Field, levels: Sequence[float]) -> QuadContourSet | None:
    """Draw contour lines of the loss over a map; returns None if no level is crossed."""
    at = [data.read_numbers(survey, axis) for axis in data.axes(survey)]
    limits = data.limits_of([ground], log=True)
    held = np.ma.masked_where(~np.isfinite(ground.plane()), limits.shown(ground.plane()))
    passing = [level for level in levels if held.count() and held.min() < level < held.max()]
    if not passing:
        return None
    ends = ax.get_xlim(), ax.get_ylim()
    passed = ax.contour(*at, held, levels=passing, colors=looks.PAPER, linewidths=0.9, zorder=2)
    passed.set_path_effects([effects.withStroke(linewidth=2.0, foreground=looks.INK, alpha=0.55)])
    ax.set(xlim=ends[0], ylim=ends[1])
    return passed


def _curves(survey: xr.Dataset, style: Style) -> Figure:
    """Draw a curve per split, pale where it is not resolved."""
    (axis,) = data.axes(survey)
    fields, at, there = data.fields(survey, data.RATIO), lines.along(survey), networks(survey)
    every = np.concatenate([field.resolved.ravel() for field in fields])
    # On a line the scale is chosen from the values, whose differences are what is seen.
    limits = scales.limits(every, log=False)
    limits = style.limit_values(every, limits) if style.concerns(data.RATIO) else limits
    drawn = figures.figure(style, WIDTH, HEIGHT)
    ax = drawn.add_subplot()
    shown = []
    for index, field in enumerate(fields):
        stroke = lines.Stroke(looks.colour(index), "-", field.split or field.label, "." if len(at) <= lines.FEW else "")
        pale = np.where(np.isfinite(field.values), field.values, np.nan)
        ax.plot(at, pale, ":", color=stroke.colour, alpha=PALE, linewidth=1.2, label=lines.UNNAMED, scaley=False)
        ax.plot(
            at, field.resolved, "-", color=stroke.colour, marker=stroke.mark, markersize=4, linewidth=1.6,
            label=figures.listed(stroke.label),
        )  # fmt: skip
        shown.append(field.resolved)
    lines.frame(ax, np.concatenate(shown), limits)
    if not limits.log and not limits.requested:
        ax.set_ylim(bottom=0)
    ax.margins(x=0.02)
    ax.tick_params(labelsize=8)
    label = figures.wrapped("|smallest / largest| eigenvalue", drawn.get_figheight() - 1.0)
    ax.set(xlabel=data.axis_label(survey, axis), ylabel=label)
    marks.mark_line(ax, there, 0.85 * WIDTH)
    dotted = any((np.isfinite(field.values) & ~np.isfinite(field.resolved)).any() for field in fields)
    keys = [Line2D([], [], linestyle=":", color=looks.GREY, alpha=0.7, label="not resolved")] * dotted
    notes = [_describe_resolved(fields), limits.note, there.outside, *data.notes(survey)]
    figures.captioned(drawn, *notes, keys=list(chain(lines.keys(drawn), keys)))
    return drawn
