"""Contour maps in panels, filled or as labelled lines; maps of one quantity share a scale and its levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib as mpl
import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.path import Path

from lossatlas.views import figures, marks
from lossatlas.views.data import cell_edges
from lossatlas.views.figures import Palette
from lossatlas.views.levels import contour_levels
from lossatlas.views.looks import INK, PAPER
from lossatlas.views.networks import Networks
from lossatlas.views.scales import Floats, Limits, invalid
from lossatlas.views.style import Style

__all__ = ["Maps", "Panel", "contour_maps", "draw_levels", "label_lines", "label_places"]

APART = 0.08  # fraction of the panel's longer side; labels that are nearer than this may overlap
MARGIN = 0.05  # fraction of the panel's longer side; the least distance of a label from an edge
SHORTEST_LINE = 0.3  # fraction of the panel's longer side; a label would hide most of a shorter line
LABELS_PER_LEVEL = 2
ROW_GAP = 0.09  # inches; above and below each of several rows, so that titles stand clear of the ticks over them


@dataclass(frozen=True, eq=False)
class Panel:
    """One contour map.

    Attributes:
        title: The title above the map.
        at: Coordinates of the points along ``u`` (U,) and ``v`` (V,), two at least along each.
        values: The values (V, U), row 0 at the lowest ``v``; NaN and infinities are hatched.
        labels: The labels of the two axes.
        networks: The networks that are marked on the map.
    """

    title: str
    at: tuple[Floats, Floats]
    values: Floats
    labels: tuple[str, str]
    networks: Networks


@dataclass(frozen=True, eq=False)
class Maps:
    """Contour maps of one quantity, which share levels and colours.

    Attributes:
        panels: The maps, one at least.
        limits: The range of the colour scale; round levels are chosen within it.
        palette: The colours.
        colour_label: The quantity and its units.
        name: The name of the quantity in captions, where the figure shows several.
    """

    panels: Sequence[Panel]
    limits: Limits
    palette: Palette
    colour_label: str
    name: str = ""

    @cached_property
    def levels(self) -> list[float]:
        """The levels, ascending and strictly between the limits."""
        return contour_levels(self.limits)

    @property
    def bands(self) -> BoundaryNorm:
        """The norm that maps a value to its area between two levels."""
        return BoundaryNorm([self.limits.low, *self.levels, self.limits.high], 256)

    @property
    def colours(self) -> Colormap:
        """The colour map of the areas."""
        return mpl.colormaps[self.palette.colours]


def contour_maps(
    style: Style, rows: Sequence[Maps], *, filled: bool, shared: bool, notes: Sequence[str] = ()
) -> Figure:
    """Draw contour maps of one quantity, or of several with a row for each, which share levels and colours.

    The number of columns for a single quantity is chosen so that the figure has a good shape. The first axes of the
    figure are those of the maps, in their order.

    Args:
        style: title, width, scale and colours of the picture.
        rows: the quantities, at least one.
        filled: whether the areas between the levels are coloured, with a colour bar for each quantity; otherwise
            the lines are coloured and labelled with their levels.
        shared: whether the axes of all panels have the same limits.
        notes: more sentences for the caption.
    """
    panels = [panel for maps in rows for panel in maps.panels]
    ends = [_ends(panel) for panel in panels]
    frames = [_around(ends)] * len(panels) if shared else ends
    largest = _around([(u - u[0], v - v[0]) for u, v in frames])
    aspect = float(np.ptp(largest[0]) / np.ptp(largest[1]))
    cells = _cells([len(maps.panels) for maps in rows], aspect, style.width)
    down, across = (1 + max(cell[k] for cell in cells) for k in (0, 1))
    alike = len({panel.labels for panel in panels}) == 1
    narrow = style.is_narrower(figures.NARROW)
    beside, below = (1.0, 0.6) if narrow and filled else (1.9 if filled else 1.0, 0.0)
    margins = beside + 0.4 * across, 1.3 + (0.5 + below) * down
    size = figures.panel_size(largest, across, down, margins, style.width)
    drawn = figures.figure(style, *size, "constrained" if style.width is None else "compressed")
    if down > 1 and (layout := drawn.get_layout_engine()):
        layout.set(h_pad=ROW_GAP)  # type: ignore[call-arg]
    grid = drawn.add_gridspec(down, across)
    owners = [maps for maps in rows for _ in maps.panels]
    placed, lines = [], []
    stacked = style.width is not None and down > 1 and alike and shared
    for maps, panel, frame, (row, column) in zip(owners, panels, frames, cells, strict=True):
        ax = drawn.add_subplot(grid[row, column])
        lines.append(_map(ax, panel, frame, maps, filled))
        _dress(ax, panel, (size[0] / across - 0.8, size[1] / down - 0.8))
        if shared and alike:
            first, last = column == 0, (row + 1, column) not in cells
            ax.tick_params(labelleft=first, labelbottom=last)
            labelled = first and not stacked
            ax.set(xlabel=ax.get_xlabel() if last else "", ylabel=ax.get_ylabel() if labelled else "")
        placed.append(ax)
    if stacked:  # panels of a narrow figure are too low for a label each
        drawn.supylabel(panels[0].labels[1], fontsize=10)
    if filled:
        for maps in rows:
            own = [ax for ax, owner in zip(placed, owners, strict=True) if owner is maps]
            _colour_bar(drawn, own, maps, size[0] - 0.8 if narrow else size[1] / len(rows) - 0.8, flat=narrow)
    said = figures.tell_shades(rows[0].palette) if filled else f"lines: {', '.join(m.colour_label for m in rows)}"
    flat = "no contour level lies within the values of a panel" * any(line is None for line in lines)
    scales = [f"{maps.name}: {maps.limits.note}" if len(rows) > 1 else maps.limits.note for maps in rows]
    lost = invalid(np.concatenate([panel.values.ravel() for panel in panels]))
    passing = any(line is not None for line in lines) and not filled
    levels = [f"levels {', '.join(map(figures.tick_text, maps.levels))}" for maps in rows] if passing else []
    figures.captioned(drawn, said, *notes, flat, *scales, *levels, keys=figures.hatched(rows[0].palette, lost))
    if not filled:
        # Labels are placed, and lines interrupted for them, only after the layout has fixed the panels.
        lettering = figures.read_lettering(drawn)
        figures.fit_text(drawn)
        drawn.draw_without_rendering()
        for line, panel, frame in zip(lines, panels, frames, strict=True):
            if line is not None:
                label_lines(line, panel.networks, frame, 7.5 * lettering)
    return drawn


def _cells(counts: Sequence[int], aspect: float, room: float | None) -> list[tuple[int, int]]:
    """Find the row and the column of each panel: a row per quantity, or a well-shaped grid for a single one."""
    if len(counts) > 1:
        return [(row, column) for row, count in enumerate(counts) for column in range(count)]
    columns = figures.abreast(counts[0], aspect, room)
    return [divmod(index, columns) for index in range(counts[0])]


def label_places(
    lines: Sequence[Sequence[Floats]], frame: Sequence[Floats], taken: Floats
) -> list[tuple[int, float, float]]:
    """Choose positions for the labels of contour lines, away from each other, the edges and other marks.

    Args:
        lines: the lines of each level, each (points, 2).
        frame: the ends of the panel along ``u`` (2,) and ``v`` (2,).
        taken: positions that are already occupied (places, 2).

    Returns:
        The index of the level and the position of each label: at most two per level, none for levels without room.
    """
    (left, right), (bottom, top) = frame
    longer = max(right - left, top - bottom)
    origin = np.array([left, bottom])
    extent = np.array([right - left, top - bottom]) / longer
    occupied = [(place - origin) / longer for place in taken]
    found = []
    for turn in range(LABELS_PER_LEVEL):
        for level, several in enumerate(lines):
            longest = sorted(((line - origin) / longer for line in several), key=_length, reverse=True)
            if turn >= len(longest) or _length(longest[turn]) < SHORTEST_LINE:
                continue
            line = longest[turn]
            candidates = line[((line > MARGIN) & (line < extent - MARGIN)).all(axis=1)]
            if not len(candidates):
                continue
            room = np.array([min((np.hypot(*(one - other)) for other in occupied), default=1.0) for one in candidates])
            # The first position along the line that is far enough keeps labels of neighbouring lines in a row.
            best = int(np.argmax(np.minimum(room, 2 * APART)))
            if room[best] < APART:
                continue
            occupied.append(candidates[best])
            u, v = candidates[best] * longer + origin
            found.append((level, float(u), float(v)))
    return found


def _map(ax: Axes, panel: Panel, frame: tuple[Floats, Floats], maps: Maps, filled: bool) -> QuadContourSet | None:
    """Draw one map; returns its lines, or None where no level lies within its values."""
    finite, palette = np.isfinite(panel.values), maps.palette
    ax.set(xlim=frame[0], ylim=frame[1])
    ax.set_autoscale_on(False)
    if not finite.all():
        edges = [cell_edges(centres) for centres in panel.at]
        cells = np.ma.masked_where(finite, np.ones(finite.shape))
        ax.pcolor(
            *edges, cells, cmap=ListedColormap([palette.invalid]), hatch="/////", edgecolor=palette.hatch,
            linewidth=0, zorder=0.5,
        )  # fmt: skip
    return draw_levels(ax, panel.at, panel.values, maps, filled, 0.5 if filled else 1.2) if finite.any() else None


def draw_levels(
    ax: Axes, at: Sequence[Floats], values: Floats, maps: Maps, filled: bool, width: float
) -> QuadContourSet | None:
    """Draw the contour lines of values (V, U), their width in points; returns None if no level is crossed.

    In a filled map the lines are thin and pale; otherwise each line has the colour of its level.
    """
    limits = maps.limits
    held = np.ma.masked_where(~np.isfinite(values), np.clip(limits.shown(values), limits.low, limits.high))
    if filled:
        ax.contourf(*at, held, levels=maps.bands.boundaries, norm=maps.bands, cmap=maps.colours, zorder=1)
    looks: dict[str, Any] = {"colors": PAPER, "alpha": 0.7}
    if not filled:
        looks = {"cmap": _ink(maps.palette), "norm": figures.make_norm(limits)}
    passing = [level for level in maps.levels if held.min() < level < held.max()]
    return ax.contour(*at, held, levels=passing, linewidths=width, zorder=2, **looks) if passing else None


def _ink(palette: Palette) -> ListedColormap:
    """Make the colour map without its lightest colours, which are invisible as lines on white paper."""
    return ListedColormap(mpl.colormaps[palette.colours](np.linspace(0, 0.78, 256)))


def label_lines(
    lines: QuadContourSet, networks: Networks, frame: Sequence[Floats], letters: float, halo: str = ""
) -> None:
    """Label contour lines with their levels, away from networks and their names, after the layout has fixed the panel.

    Args:
        lines: the lines of all levels.
        networks: the networks that are marked on the panel.
        frame: the ends of the panel along ``u`` (2,) and ``v`` (2,).
        letters: the height of the letters, points.
        halo: the colour around the letters where these stand on another map; empty draws none.
    """
    several = [_pieces(path) for path in lines.get_paths()]
    places = [(u, v) for _, u, v in label_places(several, frame, _taken(lines, networks))]
    if places:
        for text in lines.clabel(fmt=figures.tick_text, fontsize=letters, inline=True, inline_spacing=3, manual=places):
            text.set_rotation_mode("anchor")
            if halo:
                text.set_path_effects([effects.withStroke(linewidth=1.6, foreground=halo)])


def _taken(lines: QuadContourSet, networks: Networks) -> Floats:
    """Find the positions that networks and their names occupy on a panel after the layout: (places, 2)."""
    back = lines.axes.transData.inverted()
    boxes = [back.transform_bbox(text.get_window_extent()) for text in lines.axes.texts]
    steps = np.linspace(0, 1, 5)
    names = [(box.x0 + step * box.width, (box.y0 + box.y1) / 2) for box in boxes for step in steps]
    return np.array([*networks.at, *names]).reshape(-1, 2)


def _pieces(path: Path) -> list[Floats]:
    """Split a path into its lines, each (points, 2); a line begins at each code "move to"."""
    vertices = np.asarray(path.vertices, dtype=np.float64)
    starts = np.flatnonzero(np.asarray(path.codes) == Path.MOVETO) if path.codes is not None else np.zeros(1, int)
    return [piece for piece in np.split(vertices, starts[1:]) if len(piece)]


def _dress(ax: Axes, panel: Panel, inches: tuple[float, float]) -> None:
    figures.dress_plane(ax)
    ax.set_title(panel.title, fontsize=10, color=INK)
    labels = [figures.wrapped(label, side) for label, side in zip(panel.labels, inches, strict=True)]
    ax.set(xlabel=labels[0], ylabel=labels[1])
    marks.mark_plane(ax, panel.networks)


def _colour_bar(drawn: Figure, placed: list[Axes], maps: Maps, inches: float, *, flat: bool) -> None:
    """Draw the colour bar of a quantity beside its maps, or below them if it is flat; its length is in inches."""
    mappable = ScalarMappable(maps.bands, maps.colours)
    place = "bottom" if flat else "right"
    bar = drawn.colorbar(
        mappable,
        ax=placed,
        location=place,
        ticks=figures.thin(maps.levels, inches if flat else 3 * inches),
        format=figures.tick_text,
        aspect=30,
        pad=0.02,
    )
    figures.dress_bar(bar, figures.wrapped(maps.colour_label, inches))
    bar.minorticks_off()


def _ends(panel: Panel) -> tuple[Floats, Floats]:
    u, v = (np.array([at[0], at[-1]]) for at in panel.at)
    return u, v


def _around(frames: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Find the smallest frame that contains several frames."""
    u, v = (np.array([min(f[k][0] for f in frames), max(f[k][1] for f in frames)]) for k in (0, 1))
    return u, v


def _length(line: Floats) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum()) if len(line) > 1 else 0.0
