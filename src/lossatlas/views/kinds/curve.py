"""Loss, accuracy and geometry along a curve between networks, and along other paths between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lossatlas.describing import join_words
from lossatlas.schema import Along
from lossatlas.views import data, figures, lines, marks, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.kinds._curves import STROKES, goes_along_curve, in_unit_of_loss
from lossatlas.views.lines import Stroke
from lossatlas.views.networks import Networks, networks
from lossatlas.views.style import SCALED, Style

__all__ = ["AlongCurve"]

CURVE, EVEN = "curve", "even"
OTHERS = {"straight": "on the straight line (dashed)", "radial": "on the path through the origin (dotted)"}
"""Other paths between the same networks, and their descriptions in captions."""
LOOKS = {**STROKES, EVEN: Stroke("#1f7a8c", "-.", "at constant speed")}
GEOMETRY = {
    Along.NORM: ("norm of the weights", "norms of the weights"),
    Along.RADIAL_DISTANCE: (
        "distance from the path\nthrough the origin",
        "distance of the curve from the path through the origin",
    ),
    Along.LENGTH: ("length so far", "length of the curve so far"),
}
"""Variables on the geometry of the curve: the label of the axis, and the description in captions."""
WIDE, TALL = 4.6, 3.1  # inches; the size of a panel
LEAST = 1.6  # inches; the least width of a panel, where several stand side by side


class AlongCurve(SurveyView):
    """A row per quantity with a panel per split: losses, and accuracies where known; then norms and lengths."""

    needs = "one axis, a loss, and a curve between networks that the axis goes along"
    caption = (
        "Loss, accuracy and other quantities along the curve and along other paths between the same networks; below, "
        "norms of the weights and lengths."
    )
    rank = 8
    heeds = SCALED
    whole = True

    def applies(self, survey: xr.Dataset) -> bool:
        return goes_along_curve(survey)

    def describe(self, survey: xr.Dataset) -> str:
        quantities = _quantities(survey)
        drawn = {path for splits in quantities for field in splits for path in _on_paths(survey, field)}
        measured = join_words([splits[0].metric.replace("_", " ") for splits in quantities])
        where = join_words(["along the curve (solid)", *(words for path, words in OTHERS.items() if path in drawn)])
        below = join_words([words for name, (_, words) in GEOMETRY.items() if name in survey])
        return f"{measured[0].upper()}{measured[1:]} {where}{f'; below, {below}' * bool(below)}."

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        return [field for splits in _quantities(survey) for field in splits]

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        quantities = _quantities(survey)
        beside = [name for name in GEOMETRY if name in survey]
        counts = [*map(len, quantities), *([len(beside)] * bool(beside))]
        most = None if style.width is None else max(1, int(style.width / LEAST))
        abreast = max(2, *map(len, quantities))
        wide = abreast if most is None else min(abreast, most)
        down = sum(-(-count // (most or count)) for count in counts)
        drawn = figures.figure(style, WIDE * wide, TALL * down)
        rows = _rows(drawn, counts, most)
        there = networks(survey)
        for panels, splits in zip(rows, quantities, strict=False):
            _measured(panels, survey, splits, there, style)
        for ax, name in zip(rows[-1], beside, strict=False):
            _geometry(ax, survey, name, there)
        every = [field for splits in quantities for one in splits for field in _on_paths(survey, one).values()]
        figures.captioned(
            drawn,
            scales.invalid(np.concatenate([field.values for field in every])).describe(lines.MARKED),
            "bands: two standard errors above and below the curve" * any(field.error is not None for field in every),
            there.outside,
            *data.notes(survey),
            keys=list({str(line.get_label()): line for line in lines.keys(drawn)}.values()),
        )
        return drawn


def _quantities(survey: xr.Dataset) -> list[list[data.Field]]:
    """List the quantities to draw, each with its splits: the loss, others in its unit, the accuracy."""
    rows = [*in_unit_of_loss(survey).values(), data.fields(survey, scales.ACCURACY)]
    return [splits for splits in rows if splits]


def _on_paths(survey: xr.Dataset, field: data.Field) -> dict[str, data.Field]:
    """Find a quantity on the curve and on the other paths for which it is known, by path."""
    names = {path: Along.of(path, field.split, field.metric) for path in OTHERS}
    others = {
        path: replace(field, values=data.read_numbers(survey, name), error=None)
        for path, name in names.items()
        if name in survey
    }
    return {CURVE: field, **others}


def _rows(drawn: Figure, counts: Sequence[int], most: int | None) -> list[list[Axes]]:
    """Make the panels of each quantity, with at most the given number in a row, which fills the width of the figure."""
    rows = [
        (owner, min(most or count, count - first))
        for owner, count in enumerate(counts)
        for first in range(0, count, most or count)
    ]
    columns = math.lcm(*(count for _, count in rows))
    grid = drawn.add_gridspec(len(rows), columns)
    found: list[list[Axes]] = [[] for _ in counts]
    for row, (owner, count) in enumerate(rows):
        for k in range(count):
            place = slice(k * columns // count, (k + 1) * columns // count)
            found[owner].append(drawn.add_subplot(grid[row, place]))
    return found


def _measured(
    panels: Sequence[Axes], survey: xr.Dataset, splits: Sequence[data.Field], there: Networks, style: Style
) -> None:
    """Draw one quantity on all paths, a panel per split, all on one scale."""
    places = {path: lines.along(survey) if path == CURVE else lines.beside(survey) for path in LOOKS}
    on_paths = [_on_paths(survey, field) for field in splits]
    limits = style.limit([field for own in on_paths for field in own.values()])
    heights = [
        lines.curve(ax, places[path], field, limits, LOOKS[path], place)
        for ax, own in zip(panels, on_paths, strict=True)
        for place, (path, field) in enumerate(own.items())
    ]
    for ax, field in zip(panels, splits, strict=True):
        lines.frame(ax, np.concatenate(heights), limits)
        ax.set_ylabel(field.scale_label(limits), fontsize=9)
        _dress(ax)
        rows = marks.mark_line(ax, there, 0.75 * WIDE)
        ax.set_title(field.label, fontsize=10, color=figures.GREY, pad=5 + marks.ROW * rows)


def _geometry(ax: Axes, survey: xr.Dataset, name: str, there: Networks) -> None:
    """Draw the norms on all paths, or the distance from one of them, or the length with that at constant speed."""
    at = lines.beside(survey)
    drawn = {CURVE: data.read_numbers(survey, name)}
    if name == Along.NORM:
        others = {path: Along.norm_on(path) for path in OTHERS}
        drawn |= {path: np.asarray(survey[other].values) for path, other in others.items() if other in survey}
    if name == Along.LENGTH:
        drawn[EVEN] = at * drawn[CURVE][-1]
    for path, values in drawn.items():
        stroke = LOOKS[path]
        ax.plot(at, values, stroke.style, color=stroke.colour, linewidth=1.6, label=stroke.label)
    everything = np.concatenate(list(drawn.values()))
    ax.set_ylim(0, 1.08 * float(everything[np.isfinite(everything)].max(initial=0.0)) or 1.0)
    ax.set_ylabel(GEOMETRY[name][0], fontsize=9)
    ax.tick_params(labelsize=8)
    _dress(ax)
    marks.cross(ax, there)


def _dress(ax: Axes) -> None:
    ax.set_xlabel("t", fontsize=9)
    ax.margins(x=0.02)
