"""Pictures of a comparison of networks: the matrix of surfaces and differences, slices, lines, weights, quantities."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossatlas.schema import GEOMETRY, PAIR_CORNERS, Geometry
from lossatlas.views import data, figures, lines, looks, scales
from lossatlas.views.contours import Maps, draw_levels
from lossatlas.views.looks import GREY, INK, PAPER
from lossatlas.views.networks import short

__all__ = ["CAPTIONS", "draw_comparison"]

SIDE = 16.0  # inches; of the block of a matrix's cells at most
CELL = 1.9, 2.6  # inches; the side of a cell, at least and at most
GAP = 0.07  # inches between cells
PAIRWISE = ("distance", "barrier", "barrier_slope", "disagreement", "js_divergence", "squared_difference")
SHARES = {"disagreement"}
READABLE = 14  # networks; in larger matrices numbers would run into each other
MARKS = (("o", "the column's network"), ("^", "the row's network"), ("s", "where they started"))
MARK_OF = dict(zip(PAIR_CORNERS, "so^s", strict=True))
"""How each corner of a surface is marked."""
DIFFERENCES = "YlGnBu"
EMPTY, FAINT = "#f1f0ec", "#9a9ca5"
WIDE = 100  # largest over smallest beyond which a quantity has a logarithmic scale

CAPTIONS = {
    "matrix": "Below the diagonal the loss on the figure that two networks span with the weights they started from, on "
    "one colour scale; above it how differently they predict; on it what each came to.",
    "slices": "The loss around each network along random directions, all on the same axes, by group.",
    "lines": "The loss on the straight line between every two networks of one architecture.",
    "weights": "The weights of all networks on shared axes.",
    "differences": "Every quantity of two networks as a matrix.",
    "sharpness": "Test error against sharpness, one mark for each network, with all its repeats.",
}
"""What each picture shows, by its name."""


@dataclass(frozen=True)
class _Groups:
    """The networks' groups and their colours."""

    of: tuple[str, ...]
    colours: dict[str, str]

    def colour(self, place: int) -> str:
        return self.colours[self.of[place]]

    def keys(self) -> list[Artist]:
        return [Line2D([], [], color=colour, label=group, linewidth=2) for group, colour in self.colours.items()]


def draw_comparison(comparison: xr.Dataset) -> dict[str, Figure]:
    """All pictures of a comparison, by name; those that have something to show.

    Args:
        comparison: as :mod:`lossatlas.jobs.compared` makes it: dimensions ``run``, ``other_run`` and ``repeat``.
    """
    groups = _groups(comparison)
    drawn = {
        "matrix": _matrix(comparison, groups),
        "slices": _slices(comparison, groups),
        "lines": _lines(comparison, groups),
        "differences": _differences(comparison),
        "sharpness": _sharpness(comparison, groups),
        "weights": _weights(comparison, groups),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _groups(comparison: xr.Dataset) -> _Groups:
    of = tuple(str(group) for group in comparison["group"].values)
    return _Groups(of, {group: looks.colour(index) for index, group in enumerate(dict.fromkeys(of))})


def _names(comparison: xr.Dataset) -> list[str]:
    return [short(str(name)) for name in comparison["run"].values]


def _matrix(comparison: xr.Dataset, groups: _Groups) -> Figure:
    """Surfaces below the diagonal, functional differences above (Im, Tao & Branson 2016), the networks on it."""
    count = comparison.sizes["run"]
    cell = float(np.clip(SIDE / count, *CELL))
    block = count * cell
    left, right, bottom, top = 0.3, 1.9, 1.0, 0.75
    width, height = left + block + right, bottom + block + top
    split = comparison.attrs["split"]
    drawn = figures.figure(width, height, "", "none")
    drawn.text(
        0.5, 1 - 0.3 / height, f"{count} networks and what lies between them", fontsize=13, fontweight="bold",
        color=INK, ha="center", va="center",
    )  # fmt: skip
    name, pairs = f"surface_{split}_loss", [(i, k) for k in range(count) for i in range(k)]
    losses = data.read_numbers(comparison, name) if name in comparison else np.full((count, count, 1, 1), np.nan)
    limits = scales.limits(np.stack([losses[pair] for pair in pairs]), log=True)
    unit = str(comparison.attrs.get("units", "1"))
    label = f"{split} loss" + f", {unit}" * (unit != "1") + ", log scale" * limits.log
    maps = Maps((), limits, figures.LOSS, label)
    # Pairs without a surface are NaN throughout, and no point of theirs was ever evaluated.
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
        _bar(drawn, box, ScalarMappable(maps.bands, maps.colours), label, maps.levels)
    if difference is not None and norm is not None:
        box = (bars / width, (bottom + 0.55 * block) / height, 0.16 / width, span)
        _bar(drawn, box, ScalarMappable(norm, mpl.colormaps[DIFFERENCES]), _told(comparison, difference))
    keys: list[Artist] = [
        Line2D([], [], marker=mark, color=PAPER, markeredgecolor=INK, linestyle="", label=label, markersize=6)
        for mark, label in MARKS
    ]
    keys += figures.hatched(figures.LOSS, scales.invalid(np.array(there)))
    legend = drawn.legend(
        handles=keys, loc="lower center", ncols=len(keys), frameon=False, fontsize=9,
        bbox_to_anchor=(0.5, 0.28 / height),
    )  # fmt: skip
    legend.set_in_layout(False)
    note = "; ".join(part for part in (f"below: {limits.note}" * (name in comparison), _above(comparison)) if part)
    drawn.text(
        0.5, 0.2 / height, textwrap.fill(note, int(width * 14)), fontsize=8, color=GREY, ha="center", va="center"
    )
    return drawn


def _cell_scale(comparison: xr.Dataset) -> tuple[str | None, Normalize | None]:
    """Which quantity colours the cells above the diagonal, from zero to its largest value."""
    chosen = next((name for name in ("disagreement", "squared_difference") if name in comparison), None)
    if chosen is None:
        return None, None
    values = comparison[chosen].values
    finite = values[np.isfinite(values)]
    return chosen, Normalize(0.0, float(finite.max()) if finite.size and finite.max() > 0 else 1.0)


def _diagonal(ax: Axes, comparison: xr.Dataset, groups: _Groups, place: int, inches: float) -> None:
    name, group = str(comparison["run"].values[place]), groups.of[place]
    ax.axvspan(0, 0.06, color=groups.colour(place), linewidth=0)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    test = comparison.attrs["compared_split"]
    told = []
    if f"{test}_accuracy" in comparison:
        told.append(f"{test} accuracy {scales.percent(float(comparison[f'{test}_accuracy'].values[place]))}")
    told += [
        f"{split} loss {scales.number(float(comparison[f'{split}_loss'].values[place]))}"
        for split in dict.fromkeys((test, comparison.attrs["split"]))
        if f"{split}_loss" in comparison
    ]
    told.append(f"moved {scales.number(float(comparison['distance_from_start'].values[place]))}")
    wide = max(10, int(inches * 9))
    heading = textwrap.fill(short(name), wide)
    ax.text(0.12, 0.93, heading, fontsize=9.5, fontweight="bold", color=INK, va="top")
    if group != name:
        below = 0.93 - 0.15 * (1 + heading.count("\n"))
        ax.text(0.12, below, textwrap.fill(group, wide + 3), fontsize=7.5, color=GREY, va="top")
    ax.text(0.12, 0.06, "\n".join(told), fontsize=7.5, color=INK, va="bottom", linespacing=1.35)


def _surface(ax: Axes, coords: Sequence[scales.Floats], values: scales.Floats, maps: Maps, geometry: Geometry) -> None:
    figures.hatch(ax, maps.palette)
    draw_levels(ax, coords, values, maps, filled=True, width=0.4)
    for name, (u, v) in zip(geometry.names, geometry.corners, strict=False):
        ax.plot(
            [u], [v], MARK_OF[name], color=PAPER, markeredgecolor=INK, markersize=5, markeredgewidth=1, clip_on=False
        )


def _cell(ax: Axes, comparison: xr.Dataset, difference: str | None, norm: Normalize | None, i: int, k: int) -> None:
    """The functional difference of two networks as a coloured cell with its numbers."""
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


def _brief(name: str, value: float) -> str:
    """With two digits, for small cells."""
    return f"{100 * value:.2g} %" if name in SHARES else f"{value:.2g}"


def _told(comparison: xr.Dataset, name: str) -> str:
    """What a variable is called, with its unit."""
    attributes = comparison[name].attrs
    unit = str(attributes.get("units", "1"))
    return f"{attributes.get('long_name', name)}{'' if unit == '1' else f' ({unit})'}"


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
    figures.dress_bar(bar, label)
    bar.ax.yaxis.label.set_fontsize(9)
    bar.minorticks_off()


def _slices(comparison: xr.Dataset, groups: _Groups) -> Figure | None:
    name = f"slice_{comparison.attrs['split']}_loss"
    if name not in comparison:
        return None
    values = data.read_numbers(comparison, name)
    curves = [(curve, groups.colour(run)) for run, repeats in enumerate(values) for curve in repeats]
    drawn, ax, limits = _curves(comparison, "x", name, curves)
    level = float(comparison.attrs["level"])
    ax.axhline(level, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    ax.set_xlabel(_slice_label(comparison))
    figures.captioned(
        drawn,
        f"{values.shape[1]} random direction(s) around each of {values.shape[0]} networks",
        f"dashed: the level of widths, {scales.number(level)}",
        scales.invalid(values).told(),
        limits.note,
        keys=groups.keys(),
    )
    return drawn


def _slice_label(comparison: xr.Dataset) -> str:
    scale = str(comparison.attrs.get("normalize", "none"))
    return "length of the direction" if scale == "none" else f"random direction, normalised per {scale}"


def _lines(comparison: xr.Dataset, groups: _Groups) -> Figure | None:
    name = f"line_{comparison.attrs['split']}_loss"
    if name not in comparison:
        return None
    values = data.read_numbers(comparison, name)
    several = len(groups.colours) < len(groups.of)
    curves, keys = [], groups.keys()
    for k in range(len(groups.of)):
        for i in range(k):
            if np.isfinite(values[i, k]).any():
                alike = groups.of[i] == groups.of[k]
                curves.append((values[i, k], groups.colour(i) if alike and several else FAINT))
    drawn, ax, limits = _curves(comparison, "alpha", name, curves)
    for end in (0.0, 1.0):
        ax.axvline(end, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    ax.set_xlabel("from one network (0) to another (1)")
    between = Line2D([], [], color=FAINT, label="networks of two groups", linewidth=2)
    alone = Line2D([], [], color=FAINT, label="two networks", linewidth=2)
    known = np.concatenate([curve for curve, _ in curves]) if curves else np.empty(0)
    figures.captioned(drawn, scales.invalid(known).told(), limits.note, keys=[*keys, between] if several else [alone])
    return drawn


def _curves(
    comparison: xr.Dataset, axis: str, name: str, curves: Sequence[tuple[scales.Floats, str]]
) -> tuple[Figure, Axes, scales.Limits]:
    """A figure of thin curves (U,) of a variable along an axis, on a logarithmic scale where losses have one."""
    drawn, at = figures.figure(8.6, 5.2, ""), data.read_numbers(comparison, axis)
    ax = drawn.add_subplot()
    every = np.concatenate([values for values, _ in curves]) if curves else np.empty(0)
    limits = scales.limits(every, log=True)
    for values, colour in curves:
        ax.plot(
            at, np.where(np.isfinite(values), limits.shown(values), np.nan), color=colour, linewidth=1.1, alpha=0.75
        )
    lines.frame(ax, limits.shown(every), limits)
    ax.margins(x=0.02)
    ax.set_ylabel(_told(comparison, name))
    ax.tick_params(labelsize=8)
    return drawn, ax, limits


def _weights(comparison: xr.Dataset, groups: _Groups) -> Figure | None:
    counts, edges = data.read_numbers(comparison, "weights"), data.cell_edges(data.read_numbers(comparison, "bin"))
    drawn = figures.figure(8.6, 4.6, "")
    ax = drawn.add_subplot()
    for run, row in enumerate(counts):
        if row.sum() > 0:
            share = np.where(row > 0, row / row.sum(), np.nan)
            ax.stairs(share, edges, color=groups.colour(run), linewidth=1.1, alpha=0.8)
    ax.set_yscale("log")
    figures.log_axis(ax.yaxis, *ax.get_ylim())
    ax.set(xlabel="weight", ylabel="share of a network's weights in a bin")
    ax.tick_params(labelsize=8)
    norms = comparison["weight_norm"].values
    figures.captioned(
        drawn,
        f"{len(counts)} networks, norms {scales.number(float(norms.min()))} to {scales.number(float(norms.max()))}",
        keys=groups.keys(),
    )
    return drawn


def _differences(comparison: xr.Dataset) -> Figure | None:
    shown = [name for name in PAIRWISE if name in comparison and np.isfinite(comparison[name].values).any()]
    if not shown:
        return None
    names, count = _names(comparison), comparison.sizes["run"]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    side = float(np.clip(0.42 * count, 2.6, 5.0))
    drawn = figures.figure(columns * (side + 1.4), rows * (side + 1.2), "")
    for index, name in enumerate(shown):
        ax = drawn.add_subplot(rows, columns, index + 1)
        values = data.read_numbers(comparison, name).copy()
        np.fill_diagonal(values, np.nan)
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        log = low > 0 and high > WIDE * low
        norm: Normalize = LogNorm(low, high) if log else Normalize(min(0.0, low), high if high > 0 else 1.0)
        ax.imshow(np.ma.masked_invalid(values), cmap=mpl.colormaps[DIFFERENCES], norm=norm)
        ax.set_facecolor(EMPTY)
        ax.set_xticks(range(count), names, rotation=90, fontsize=7.5)
        ax.set_yticks(range(count), names, fontsize=7.5)
        ax.set_title(textwrap.fill(_told(comparison, name), int(side * 9)), fontsize=9.5, color=INK)
        if count <= READABLE:
            for i, k in zip(*np.nonzero(np.isfinite(values)), strict=True):
                ink = PAPER if norm(values[i, k]) > 0.55 else INK
                ax.text(k, i, _brief(name, values[i, k]), fontsize=7, color=ink, ha="center", va="center")
    return drawn


def _sharpness(comparison: xr.Dataset, groups: _Groups) -> Figure | None:
    sharpness, error = (data.read_numbers(comparison, name) for name in ("sharpness", "test_error"))
    if not (np.isfinite(sharpness).any() and np.isfinite(error).any()):
        return None
    drawn = figures.figure(6.4, 4.6, "")
    ax = drawn.add_subplot()
    for run, row in enumerate(sharpness):
        colour = groups.colour(run)
        ax.plot(row, np.full(row.shape, error[run]), ".", color=colour, alpha=0.45, markersize=5)
        ax.plot([row.mean()], [error[run]], "o", color=colour, markeredgecolor=INK, markersize=7)
    finite = sharpness[np.isfinite(sharpness)]
    if finite.min() > 0 and finite.max() > 20 * finite.min():
        ax.set_xscale("log")
        figures.log_axis(ax.xaxis, *ax.get_xlim())
    ax.set(xlabel=_told(comparison, "sharpness"), ylabel=_told(comparison, "test_error"))
    ax.tick_params(labelsize=8)
    figures.captioned(drawn, "ringed: the mean of a network's repeats; dots: each repeat", keys=groups.keys())
    return drawn
