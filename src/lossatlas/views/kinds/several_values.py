"""Metrics with several values at a point that do not belong to classes, such as the largest eigenvalues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossatlas.schema import name_curvature
from lossatlas.views import data, figures, lines, looks, marks, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.networks import networks
from lossatlas.views.residuals import describe_accuracy
from lossatlas.views.style import COLOURED, SCALED, Style

__all__ = ["SeveralValues"]

MOST = 10  # curves of a metric; more would not be told apart
MOST_MAPS = 4  # maps of a metric, where they fit the page
FEWEST_MAPS = 2  # maps abreast on a narrow page, and of a metric where more would not fit
TALLEST = 8.5  # inches; of a figure, which has to fit a page with its caption
BAR = 0.55  # inches; the height of a colour bar below its maps
WIDTH, HEIGHT = 4.4, 3.2  # inches; the size of a panel of curves
WIDEST = 9.5  # inches; of a figure of maps for a screen
DEEP, PALE = 0.0, 0.8  # the parts of the colour map that the first and the last curve take
DASHES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")


class SeveralValues(SurveyView):
    """Curves of all values along a line, or maps of the first few, a row for each metric."""

    needs = "one axis or two, and a metric with several values at a point, such as hessian_top:5"
    caption = "Metrics with several values at each point, such as the largest eigenvalues, one metric below the other."
    rank = 52
    heeds = COLOURED
    metric = ""

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) in (1, 2) and bool(data.by_value(survey))

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        most = MOST if len(data.axes(survey)) == 1 else MOST_MAPS
        return [
            replace(one, label=f"{one.split} {_name(one)}".strip())
            for several in _choose(survey).values()
            for one in several[:most]
        ]

    def list_heeded(self, survey: xr.Dataset) -> frozenset[str]:
        return SCALED if len(data.axes(survey)) == 1 else self.heeds

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        return (_curves if len(data.axes(survey)) == 1 else _maps)(survey, style)


def _name(one: data.Field) -> str:
    """Name one of several values: ``2nd largest eigenvalue of the Hessian``, ``layer norm (layer 0)``."""
    known = name_curvature(one.metric).partition("eigenvalues")[2]
    return f"{one.label} eigenvalue{known}" if known else f"{one.metric.replace('_', ' ')} ({one.label})"


def _choose(survey: xr.Dataset) -> dict[str, list[data.Field]]:
    """Choose a split of each metric where there is room for one only: test, or else the first."""
    return {
        metric: splits["test"] if "test" in splits else next(iter(splits.values()))
        for metric, splits in data.by_value(survey).items()
    }


def _curves(survey: xr.Dataset, style: Style) -> Figure:
    """Draw a panel per metric and split: a curve for each value, the first one darkest."""
    (axis,) = data.axes(survey)
    metrics, at, there = data.by_value(survey), lines.along(survey), networks(survey)
    widest = max(len(splits) for splits in metrics.values())
    for across in (1, widest) if style.is_narrower(figures.NARROW) else (widest,):
        cells = _place(metrics, across)
        rows = 1 + max(row for row, _ in cells.values())
        drawn = figures.figure(style, 1.2 + WIDTH * across, 1.2 + HEIGHT * rows)
        if drawn.get_figheight() <= TALLEST:
            break
    drawn.set_figheight(min(drawn.get_figheight(), TALLEST))
    most = min(MOST, max(len(several) for splits in metrics.values() for several in splits.values()))
    for (metric, split), (row, column) in cells.items():
        several = metrics[metric][split]
        whole = [one for splits in metrics[metric].values() for one in splits[:MOST]]
        limits = style.limit(whole)
        ax = drawn.add_subplot(rows, across, row * across + column + 1)
        drawn_values = []
        for place, one in enumerate(several[:MOST]):
            stroke = lines.Stroke(_tone(place, most), DASHES[place % len(DASHES)], one.label)
            drawn_values.append(lines.curve(ax, at, one, limits, stroke, place))
        lines.frame(ax, np.concatenate([limits.shown(one.values) for one in whole]), limits)
        ax.margins(x=0.02)
        ax.set_title(split, fontsize=10, color=looks.INK)
        ax.set_ylabel(
            figures.wrapped(several[0].scale_label(limits), drawn.get_figheight() / rows - 0.6) if column == 0 else ""
        )
        ax.set_xlabel(data.axis_label(survey, axis) if row == rows - 1 else "")
        marks.cross(ax, there)
    every = [one for splits in metrics.values() for several in splits.values() for one in several]
    crossed = f"dashed, upright: {', '.join(there.names)}" * bool(there)
    lost = scales.invalid(np.stack([one.values for one in every])).describe(lines.MARKED)
    notes = [_count_left_out(metrics, MOST), crossed, lost, *describe_accuracy(survey, every), *data.notes(survey)]
    figures.captioned(drawn, *notes, keys=_list_keys(metrics))
    return drawn


def _list_keys(metrics: Mapping[str, Mapping[str, list[data.Field]]]) -> list[Line2D]:
    """Make a legend entry for each place along the dimension of the values, which looks the same in all panels."""
    labels = [[one.label for one in several[:MOST]] for splits in metrics.values() for several in splits.values()]
    count = max(map(len, labels))
    named = [dict.fromkeys(own[place] for own in labels if place < len(own)) for place in range(count)]
    return [
        Line2D([], [], color=_tone(place, count), linestyle=DASHES[place % len(DASHES)], label=" / ".join(names))
        for place, names in enumerate(named)
    ]


def _place(metrics: Mapping[str, Mapping[str, object]], across: int) -> dict[tuple[str, str], tuple[int, int]]:
    """Find the row and the column of each metric and split: a row per metric, or one below the other."""
    pairs = [(metric, split, place) for metric, splits in metrics.items() for place, split in enumerate(splits)]
    if across == 1:
        return {(metric, split): (row, 0) for row, (metric, split, _) in enumerate(pairs)}
    rows = {metric: row for row, metric in enumerate(metrics)}
    return {(metric, split): (rows[metric], place) for metric, split, place in pairs}


def _tone(place: int, count: int) -> str:
    """Choose the colour of a value by its place: dark for the first, lighter for those that follow."""
    return str(to_hex(colormaps["magma"](DEEP + (PALE - DEEP) * place / max(count - 1, 1))))


def _count_left_out(metrics: Mapping[str, Mapping[str, list[data.Field]]], most: int) -> str:
    longest = max(len(several) for splits in metrics.values() for several in splits.values())
    return f"the first {most} of {longest} values" * (longest > most)


def _maps(survey: xr.Dataset, style: Style) -> Figure:
    """Draw rows of heat maps per metric, of its first few values, with one scale for each metric."""
    metrics = _choose(survey)
    edges, there = data.edges(survey), networks(survey)
    narrow = style.is_narrower(figures.NARROW)
    longest = max(len(several) for several in metrics.values())
    across = min(FEWEST_MAPS if narrow else MOST_MAPS, longest)
    room = style.width or WIDEST
    for most in (MOST_MAPS, across) if narrow else (MOST_MAPS,):
        counts = [min(len(several), most) for several in metrics.values()]
        starts = np.concatenate([[0], np.cumsum([-(-count // across) for count in counts])])
        rows = int(starts[-1])
        beside, below = 1.2 + 0.2 * across, 0.8 + 0.7 * rows + narrow * BAR * len(metrics)
        width, height = figures.panel_size(edges, across, rows, (beside + 0.6 * (not narrow), below), room)
        drawn = figures.figure(style, width, height)
        if drawn.get_figheight() <= TALLEST:
            break
    drawn.set_figheight(min(drawn.get_figheight(), TALLEST))
    grid = drawn.add_gridspec(rows, across)
    labels = [data.axis_label(survey, axis) for axis in data.axes(survey)]
    inches = drawn.get_figwidth() / across, drawn.get_figheight() / rows
    shades = []
    for start, several in zip(starts, metrics.values(), strict=False):
        shown = several[:most]
        limits = style.limit(shown)
        norm, palette = (
            figures.make_norm(limits),
            style.colour(figures.choose_palette(shown[0], limits), shown[0].metric),
        )
        shades.append(figures.tell_shades(palette))
        # Cells without a map are kept, so that the colour bars of all metrics leave the columns where they are.
        cells = range(-(-len(shown) // across) * across)
        placed = [drawn.add_subplot(grid[int(start) + place // across, place % across]) for place in cells]
        for ax in placed[len(shown) :]:
            ax.set_axis_off()
        for place, (ax, one) in enumerate(zip(placed, shown, strict=False)):
            figures.heat_map(ax, one.plane(), edges, limits, norm, palette)
            ax.set_title(f"{one.split} {one.label}".strip(), fontsize=10, color=looks.INK)
            last, first = int(start) + place // across == rows - 1, place % across == 0
            ax.set_xlabel(figures.wrapped(labels[0], inches[0] - 0.6) if last else "")
            ax.set_ylabel(figures.wrapped(labels[1], inches[1] - 0.7) if first else "")
            ax.tick_params(labelleft=first, labelbottom=last)
            marks.mark_plane(ax, there)
        label = shown[0].scale_label(limits)
        label = figures.wrapped(label, drawn.get_figwidth() - 0.6 if narrow else inches[1] * len(cells) / across)
        figures.colour_bar(drawn, placed, norm, limits, palette, label, flat=narrow)
    every = [one for several in metrics.values() for one in several]
    lost = scales.invalid(np.stack([one.values for one in every]))
    left_out = _count_left_out({metric: {"": several} for metric, several in metrics.items()}, most)
    notes = [left_out, "; ".join(dict.fromkeys(filter(None, shades))), *describe_accuracy(survey, every)]
    figures.captioned(drawn, *notes, there.outside, *data.notes(survey), keys=figures.hatched(figures.LOSS, lost))
    return drawn
