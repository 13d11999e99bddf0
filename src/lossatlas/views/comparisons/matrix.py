"""The matrix of all pairs of networks of a comparison: loss surfaces and different predictions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossatlas.schema import GEOMETRY, PAIR_CORNERS, Geometry
from lossatlas.views import data, figures, scales
from lossatlas.views.comparisons._comparison import (
    SHARES,
    ComparisonView,
    Groups,
    list_groups,
)
from lossatlas.views.contours import Maps, draw_levels
from lossatlas.views.looks import GREY, INK, PAPER
from lossatlas.views.matrices import DIFFERENCES, EMPTY
from lossatlas.views.networks import short
from lossatlas.views.style import CONTOURED, Style

__all__ = ["Matrix"]

SIDE = 16.0  # inches; the largest side of the block of cells
CELL = 1.9, 2.6  # inches; the smallest and the largest side of a cell
LEAST = 1.1  # inches; the smallest side of a printed cell
BRIEF = 1.5  # inches; smaller cells show numbers with abbreviated names
BESIDE = 0.3, 1.9  # inches to the left of the cells, and to their right for the colour bars
GAP = 0.07  # inches between cells
MARKS = (("o", "the column's network"), ("^", "the row's network"), ("s", "initial weights"))
MARK_OF = dict(zip(PAIR_CORNERS, "so^s", strict=True))
"""The marker of each corner of a surface."""


class Matrix(ComparisonView):
    """Loss surfaces below the diagonal, different predictions above it (Im, Tao & Branson 2016), the networks on it."""

    needs = "at least two networks"
    caption = (
        "Below the diagonal, filled contours of the loss over the surface that two networks span with their initial "
        "weights, on one colour scale; above it, how differently the two networks predict; on it, the accuracy and the "
        "loss of each network."
    )
    rank = 10
    whole = True
    heeds = CONTOURED

    def applies(self, comparison: xr.Dataset) -> bool:
        return comparison.sizes["run"] > 1

    def draw(self, comparison: xr.Dataset, style: Style) -> Figure:
        groups = list_groups(comparison)
        count = comparison.sizes["run"]
        room = SIDE if style.width is None else style.width - sum(BESIDE)
        cell = float(np.clip(room / count, CELL[0] if style.width is None else 0.0, CELL[1]))
        block = count * cell
        (left, right), bottom, top = BESIDE, 1.0, 0.75
        width, height = left + block + right, bottom + block + top
        split = comparison.attrs["split"]
        drawn = figures.figure(replace(style, title=""), width, height, "none")
        heading = style.title or f"{count} networks and the loss between them"
        drawn.text(0.5, 1 - 0.3 / height, heading, fontsize=13, fontweight="bold", color=INK, ha="center", va="center")
        name, pairs = f"surface_{split}_loss", [(i, k) for k in range(count) for i in range(k)]
        losses = data.read_numbers(comparison, name) if name in comparison else np.full((count, count, 1, 1), np.nan)
        shown = np.stack([losses[pair] for pair in pairs]) if pairs else losses
        limits = style.limit_values(shown, scales.limits(shown, log=True))
        unit = str(comparison.attrs.get("units", "1"))
        label = f"{split} loss" + f", {unit}" * (unit != "1") + ", log scale" * limits.log
        maps = Maps((), limits, style.colour(figures.LOSS, scales.LOSS), label)
        # Pairs without a surface are NaN throughout, since none of their points was evaluated.
        there = [losses[pair] for pair in pairs if np.isfinite(losses[pair]).any()]
        difference, norm = _cell_scale(comparison)

        def axes_at(row: int, column: int) -> Axes:
            x, y = left + column * cell + GAP / 2, bottom + (count - 1 - row) * cell + GAP / 2
            box = (x / width, y / height, (cell - GAP) / width, (cell - GAP) / height)
            ax = drawn.add_axes(box, xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(linewidth=0.6, color=GREY)
            return ax

        for place in range(count):
            _diagonal(axes_at(place, place), comparison, groups, place, cell)
        for i, k in pairs:
            lower = axes_at(k, i)
            if np.isfinite(losses[i, k]).any():
                geometry = Geometry.parse(str(comparison[GEOMETRY].values[i, k]))
                coords = [data.read_numbers(comparison, axis) for axis in ("u", "v")]
                _surface(lower, coords, losses[i, k].T, maps, geometry)
            else:
                lower.set_facecolor(EMPTY)
                reason = str(comparison["reason"].values[i, k]) or "no surface"
                lower.text(0.5, 0.5, textwrap.fill(reason, 14), ha="center", va="center", fontsize=8.5, color=GREY)
            _cell(axes_at(i, k), comparison, difference, norm, i, k)
        bars = left + block + 0.25
        span = (0.42 if difference is not None else 0.9) * block / height
        if there:
            box = (bars / width, bottom / height, 0.16 / width, span)
            ticks = figures.thin(maps.levels, 3 * span * height)
            _bar(drawn, box, ScalarMappable(maps.bands, maps.colours), label, ticks)
        if difference is not None and norm is not None:
            box = (bars / width, (bottom + 0.55 * block) / height, 0.16 / width, span)
            _bar(
                drawn,
                box,
                ScalarMappable(norm, mpl.colormaps[DIFFERENCES]),
                data.label_variable(comparison, difference),
            )
        keys: list[Artist] = [
            Line2D([], [], marker=mark, color=PAPER, markeredgecolor=INK, linestyle="", label=label, markersize=6)
            for mark, label in MARKS
        ]
        keys += figures.hatched(figures.LOSS, scales.invalid(np.array(there)))
        drawn.legend(
            handles=keys, loc="lower center", ncols=len(keys), frameon=False, fontsize=9,
            bbox_to_anchor=(0.5, 0.28 / height),
        )  # fmt: skip
        note = figures.keep_notes(drawn, f"below: {limits.note}" * (name in comparison), _above(comparison))
        drawn.text(
            0.5, 0.2 / height, textwrap.fill(note, int(width * 14)), fontsize=8, color=GREY, ha="center", va="center"
        )
        return drawn

    def find_narrowest(self, comparison: xr.Dataset) -> float:
        return sum(BESIDE) + LEAST * float(comparison.sizes["run"])


def _cell_scale(comparison: xr.Dataset) -> tuple[str | None, Normalize | None]:
    """Choose the quantity that colours the cells above the diagonal, from zero to its largest value."""
    chosen = next((name for name in ("disagreement", "squared_difference") if name in comparison), None)
    if chosen is None:
        return None, None
    values = comparison[chosen].values
    finite = values[np.isfinite(values)]
    return chosen, Normalize(0.0, float(finite.max()) if finite.size and finite.max() > 0 else 1.0)


def _diagonal(ax: Axes, comparison: xr.Dataset, groups: Groups, place: int, inches: float) -> None:
    name, group = str(comparison["run"].values[place]), groups.of[place]
    ax.axvspan(0, 0.06, color=groups.colour(place), linewidth=0)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    test, brief = comparison.attrs["compared_split"], inches < BRIEF
    numbers = []
    if f"{test}_accuracy" in comparison:
        share = scales.percent(float(comparison[f"{test}_accuracy"].values[place]))
        numbers.append(f"{'acc.' if brief else f'{test} accuracy'} {share}")
    numbers += [
        f"{'loss' if brief else f'{split} loss'} {scales.number(float(comparison[f'{split}_loss'].values[place]))}"
        for split in dict.fromkeys((test,) if brief else (test, comparison.attrs["split"]))
        if f"{split}_loss" in comparison
    ]
    numbers.append(f"moved {scales.number(float(comparison['distance_from_start'].values[place]))}")
    wide = max(10, int(inches * 9))
    heading = textwrap.fill(short(name), wide)
    ax.text(0.12, 0.93, heading, fontsize=9.5, fontweight="bold", color=INK, va="top")
    if group != name:
        below = 0.93 - 0.15 * (1 + heading.count("\n"))
        ax.text(0.12, below, textwrap.fill(group, wide + 3), fontsize=7.5, color=GREY, va="top")
    ax.text(0.12, 0.06, "\n".join(numbers), fontsize=7.5, color=INK, va="bottom", linespacing=1.35)


def _surface(ax: Axes, coords: Sequence[scales.Floats], values: scales.Floats, maps: Maps, geometry: Geometry) -> None:
    figures.hatch(ax, maps.palette)
    draw_levels(ax, coords, values, maps, filled=True, width=0.4)
    for name, (u, v) in zip(geometry.names, geometry.corners, strict=False):
        ax.plot(
            [u], [v], MARK_OF[name], color=PAPER, markeredgecolor=INK, markersize=5, markeredgewidth=1, clip_on=False
        )


def _cell(ax: Axes, comparison: xr.Dataset, difference: str | None, norm: Normalize | None, i: int, k: int) -> None:
    """Draw how differently two networks predict, as a coloured cell with its numbers."""
    if difference is None or norm is None:
        ax.set_facecolor(EMPTY)
        return
    value = float(comparison[difference].values[i, k])
    colours: Colormap = mpl.colormaps[DIFFERENCES]
    ax.set_facecolor(colours(norm(value)) if np.isfinite(value) else EMPTY)
    ink = PAPER if np.isfinite(value) and norm(value) > 0.55 else INK
    ax.text(
        0.5, 0.6, _shown(difference, value), fontsize=13, color=ink, ha="center", va="center", transform=ax.transAxes
    )
    if "js_divergence" in comparison:
        js = float(comparison["js_divergence"].values[i, k])
        ax.text(0.5, 0.34, f"JS {scales.number(js)} nat", fontsize=8, color=ink, ha="center", transform=ax.transAxes)


def _above(comparison: xr.Dataset) -> str:
    if "disagreement" in comparison:
        test = comparison.attrs["compared_split"]
        return f"above: labels that disagree on the {test} split, and the mean Jensen-Shannon divergence"
    return "above: mean squared difference of outputs" if "squared_difference" in comparison else ""


def _shown(name: str, value: float) -> str:
    if not np.isfinite(value):
        return "\u2013"
    return scales.percent(value) if name in SHARES else scales.number(value)


def _bar(
    drawn: Figure,
    box: tuple[float, float, float, float],
    mappable: ScalarMappable,
    label: str,
    ticks: Sequence[float] | None = None,
) -> None:
    bar = drawn.colorbar(
        mappable, cax=drawn.add_axes(box), ticks=list(ticks) if ticks else None, format=figures.tick_text
    )
    figures.dress_bar(bar, figures.wrapped(label, box[3] * drawn.get_figheight()))
    bar.ax.yaxis.label.set_fontsize(9)
    bar.minorticks_off()
