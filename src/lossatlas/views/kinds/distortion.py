"""How a curved chart stretches, shears and folds weight space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lossatlas.schema import OnChart
from lossatlas.views import data, figures, lines, looks, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.scales import Floats, Limits
from lossatlas.views.style import COLOURED, Style

__all__ = ["Distortion"]

WIDTH, HEIGHT = 8.0, 2.4  # inches; the size of the curves of one quantity
COLUMNS = 3  # of maps, each of which has a colour bar
CENTRAL = 98.0  # percent of the values within the scale of the area; the padding may be stretched without end
MOST = 1000.0  # the largest factor on the scale of the area
LEAST_FACTOR, LEAST_SLANT = 1.05, 2.0  # the narrowest scales, so that rounding is not shown in full colours
RIGHT = 90.0  # degrees
MOST_LINES = 41  # of the net along an axis
MEANING = "pale is without distortion: an element of 1, an angle of 90 degrees; orange is below, purple above"


@dataclass(frozen=True, eq=False)
class _Map:
    """A panel: a quantity, its scale and its colours."""

    field: data.Field
    limits: Limits
    palette: figures.Palette


class Distortion(SurveyView):
    """The loss over the undistorted grid beside maps of how the chart distorts weight space, or curves of one axis."""

    needs = "one axis or two, of a curved chart whose distortion was measured"
    caption = (
        "How the chart distorts weight space: the loss over the grid of the picture, the element of area relative to "
        "an isometric chart, the angle between the axes, and the smallest separation of each cell from cells far from "
        "it (1 on a flat chart, near 0 where it folds onto itself)."
    )
    rank = 45
    heeds = COLOURED
    whole = True

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) in (1, 2) and data.chart_map(survey, OnChart.AREA) is not None

    def describe(self, subject: xr.Dataset) -> str:
        if len(data.axes(subject)) == 2:
            net = " Below, the lines of the grid lie as they do along the two principal axes of weight space."
            return self.caption + net * bool(_read_net(subject))
        return (
            "How the chart distorts weight space: the element of length relative to that of uniform speed, and the "
            "smallest separation of each point from points far from it (1 on a straight line, near 0 where the chart "
            "folds onto itself)."
        )

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        area, separation = (data.chart_map(survey, name) for name in (OnChart.AREA, OnChart.SEPARATION))
        return [field for field in (area, *data.chart_angles(survey), separation) if field is not None]

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        return (_draw_lines if len(data.axes(survey)) == 1 else _draw_maps)(survey, self.list_shown(survey), style)


def _draw_lines(survey: xr.Dataset, shown: Sequence[data.Field], style: Style) -> Figure:
    """Draw the element of length and the separation along the axis, a row for each."""
    (axis,) = data.axes(survey)
    drawn = figures.figure(style, WIDTH, 1.0 + HEIGHT * len(shown))
    at = lines.along(survey)
    for row, field in enumerate(shown):
        ax = drawn.add_subplot(len(shown), 1, row + 1)
        ax.plot(at, field.values, color=looks.colour(row), linewidth=1.6)
        ax.axhline(1.0, color=looks.GREY, linewidth=0.6, linestyle="--")
        ax.set_ylim(bottom=0)
        ax.margins(x=0.02)
        ax.set_ylabel(figures.wrapped(field.label, HEIGHT - 0.4))
        ax.set_xlabel(data.axis_label(survey, axis) if row == len(shown) - 1 else "")
    figures.captioned(drawn, "dashed: without distortion", *_tell_partners(survey), *data.notes(survey))
    return drawn


def _draw_maps(survey: xr.Dataset, shown: Sequence[data.Field], style: Style) -> Figure:
    """Draw the loss and the maps of distortion, each on its own scale, and the net as it lies."""
    panels = [*_prepare_loss(survey, style), *(_prepare(field) for field in shown)]
    net = _read_net(survey)
    edges = data.edges(survey)
    count = len(panels) + bool(net)
    wide, tall = (float(np.ptp(e)) for e in edges)
    columns = min(COLUMNS, figures.abreast(count, wide / tall, style.width))
    rows = -(-count // columns)
    size = figures.panel_size(edges, columns, rows, (0.6 + 1.2 * columns, 0.8 + 0.7 * rows), style.width)
    drawn = figures.figure(style, *size)
    grid = drawn.add_gridspec(rows, columns)
    labels = [data.axis_label(survey, axis) for axis in data.axes(survey)]
    across, down = (size[0] - 1.4) / columns - 0.6, size[1] / rows - 0.8
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        ax = drawn.add_subplot(grid[row, column])
        norm = figures.make_norm(panel.limits)
        figures.heat_map(ax, panel.field.plane(), edges, panel.limits, norm, panel.palette)
        ax.set_title(figures.wrapped(panel.field.label, across + 0.8), fontsize=10, color=looks.INK)
        ax.set_xlabel(figures.wrapped(labels[0], across) if index + columns >= count else "")
        ax.set_ylabel(figures.wrapped(labels[1], down) if column == 0 else "")
        label = figures.wrapped(panel.field.scale_label(panel.limits), down + 0.6)
        figures.colour_bar(drawn, [ax], norm, panel.limits, panel.palette, label, flat=False)
    if net:
        _draw_net(drawn.add_subplot(grid[-1, (count - 1) % columns]), net)
    lost = scales.invalid(np.stack([panel.field.values for panel in panels]))
    notes = [MEANING, *_tell_partners(survey), *data.notes(survey)]
    figures.captioned(drawn, *notes, keys=figures.hatched(figures.LOSS, lost))
    return drawn


def _prepare_loss(survey: xr.Dataset, style: Style) -> list[_Map]:
    """The loss of one split; nothing where the survey has none."""
    losses = data.fields(survey, scales.LOSS)
    if not losses:
        return []
    field = data.preferred(losses)
    return [_Map(field, style.limit([field]), style.colour(figures.LOSS, field.metric))]


def _prepare(field: data.Field) -> _Map:
    """A map of distortion with the scale of its kind."""
    finite = field.values[np.isfinite(field.values)]
    if field.name == OnChart.AREA:
        return _Map(field, _limit_area(finite), figures.SIGNED)
    if field.name == OnChart.SEPARATION:
        high = max(1.0, float(finite.max(initial=0.0)))
        return _Map(field, Limits(0.0, high, False, None, "neither", ""), figures.LOSS)
    slant = max(LEAST_SLANT, float(np.abs(finite - RIGHT).max(initial=0.0)))
    return _Map(field, Limits(RIGHT - slant, RIGHT + slant, False, None, "neither", ""), figures.SIGNED)


def _limit_area(finite: Floats) -> Limits:
    """A logarithmic scale that reaches as many times below 1 as above it."""
    positive = finite[finite > 0]
    factors = np.exp(np.abs(np.log(positive)))
    factor = min(MOST, max(LEAST_FACTOR, float(np.percentile(factors, CENTRAL)) if factors.size else 1.0))
    low, high = 1 / factor, factor
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(
        (bool((finite < low).any()), bool((finite > high).any())), "neither"
    )
    return Limits(low, high, True, low if (finite == 0).any() else None, extend, "")


def _read_net(survey: xr.Dataset) -> list[data.Field]:
    """The positions of the points along two principal axes of weight space; empty where they are not there."""
    found = [data.chart_map(survey, name) for name in OnChart.PRINCIPAL]
    return [field for field in found if field is not None] if None not in found else []


def _draw_net(ax: Axes, net: Sequence[data.Field]) -> None:
    """Draw the lines of the grid as they lie along two principal axes of weight space."""
    x, y = (field.values for field in net)
    for turned in (False, True):
        along, across = (x.T, y.T) if turned else (x, y)
        for k in np.unique(np.linspace(0, len(along) - 1, min(len(along), MOST_LINES)).round().astype(int)):
            ax.plot(along[k], across[k], color=looks.colour(2 if turned else 1), linewidth=0.5, alpha=0.8)
    ax.set_aspect("equal", adjustable="datalim")
    ax.locator_params(nbins=5)
    ax.tick_params(labelsize=8, colors=looks.INK)
    ax.set_title("the grid as it lies", fontsize=10, color=looks.INK)
    ax.set(xlabel=net[0].label, ylabel=net[1].label)


def _tell_partners(survey: xr.Dataset) -> list[str]:
    """State that separations are from a sample of the points, where they are."""
    found = survey.get(OnChart.SEPARATION)
    partners, out_of = (int(found.attrs.get(key, 0)) if found is not None else 0 for key in ("partners", "out_of"))
    return [f"separation from {partners:,} of {out_of:,} points"] if partners < out_of else []
