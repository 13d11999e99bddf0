"""Drawing that several views share, with matplotlib's objects alone: without pyplot, backends or global settings."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import AsinhNorm, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import Bbox

from lossatlas.errors import escape_unprintable
from lossatlas.views import data, marks, scales
from lossatlas.views.looks import GREY, INK
from lossatlas.views.networks import Networks
from lossatlas.views.scales import Floats, Invalid, Limits, invalid, log_ticks, signed_ticks
from lossatlas.views.style import Style

__all__ = [
    "ACCURACY",
    "GREY",
    "LOSS",
    "NARROW",
    "SIGNED",
    "Palette",
    "abreast",
    "captioned",
    "choose_palette",
    "colour_bar",
    "crop_height",
    "dress_bar",
    "dress_plane",
    "figure",
    "fit_text",
    "hatch",
    "hatched",
    "heat_map",
    "heat_maps",
    "is_share",
    "keep_notes",
    "limit_upright",
    "list_notes",
    "listed",
    "log_axis",
    "make_norm",
    "panel_size",
    "read_lettering",
    "scale_axis",
    "tell_shades",
    "thin",
    "tick_text",
    "wrapped",
]

LONGEST = 10.5  # inches; the longer side of the block of panels
PANEL = 4.4  # inches; the longer side of one panel at most
LETTER = 0.085  # inches; the width of a letter in a label
HANDLE = 0.5  # inches; the width of the mark of a legend entry, with the space around it
SHORTEST = 1.4  # inches; the tick labels of a smaller panel would overlap
NARROW = 5.0  # inches; a figure that is narrower has one column of panels with their colour bar below
SMALLER, LARGER = 6 / 7, 2.5  # bounds on the scaling of letters: the smallest, of 7 points, stay legible at 6
BORDER = 0.03  # inches of blank border around a printed picture
FLATTEST = 0.6  # the least fraction of its natural height that a narrow figure keeps
LEAST_PANEL = 1.8  # inches; the least width of a panel with its labels, where several stand side by side
TICK = 0.36  # inches; the width of a tick's label with the space around it
LUMINANCE = (0.2126, 0.7152, 0.0722)  # of red, green and blue, about
APART = 0.3  # of luminance, from which on one end of a colour scale is called dark
MOST_KEYS = 16  # entries of a legend
TITLE = 240  # letters; a longer title would take the room of the panels
SUPERSCRIPTS = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


@dataclass(frozen=True)
class Palette:
    """A perceptually uniform colour map in which low loss or high accuracy is dark, like ink.

    Attributes:
        colours: The name of matplotlib's colour map.
        invalid, hatch: The colours of cells that are not finite, and of their hatching, which the map does not contain.
    """

    colours: str
    invalid: str
    hatch: str


LOSS = Palette("magma", "#8fe3d6", "#0b6b62")
ACCURACY = Palette("viridis_r", "#ffb3c7", "#b3123f")
SIGNED = Palette("PuOr", "#8fe3d6", "#0b6b62")  # orange below zero, purple above, pale at zero


@contextmanager
def _without_matplotlibs_warnings() -> Iterator[None]:
    """What matplotlib says of fonts and layouts does not help users, who see boxes and narrow panels anyhow."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        yield


class _Figure(Figure):
    """A figure that shows texts literally: not as mathematics, and with unprintable characters escaped.

    Attributes:
        printed: Whether a width was requested; notes are then left to the caption, and empty margins are cropped.
        lettering: The factor by which letters are still to be enlarged or reduced.
        notes: The sentences at the end of the caption.
    """

    printed = False
    lettering = 1.0
    notes: tuple[str, ...] = ()

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure; letters that the font lacks are shown as boxes, without a warning."""
        for text in self.findobj(Text):
            text.set_parse_math(False)
            if (shown := escape_unprintable(text.get_text(), keep="\n")) != text.get_text():
                text.set_text(shown)
        with _without_matplotlibs_warnings():
            super().draw(renderer)


def figure(style: Style, width: float, height: float, layout: str = "constrained") -> Figure:
    """Make an empty figure with a title wrapped to its width; texts in it are never read as mathematics.

    Args:
        style: title and width of the picture; without a width the figure has its natural size.
        width: the natural width, inches.
        height: the natural height, inches.
        layout: the name of matplotlib's layout engine.
    """
    ratio = 1.0 if style.width is None else style.width / width
    # Letters of a narrow figure take as much room as those of a wide one, so its height shrinks less than its width.
    size = (ratio * width, height * max(ratio, FLATTEST))
    drawn = _Figure(figsize=size, layout=layout)  # type: ignore[arg-type]
    drawn.printed = style.width is not None
    drawn.lettering = min(max(ratio, SMALLER), LARGER)
    if style.title:
        title = style.title
        cut = title if len(title) <= TITLE else f"{title[: TITLE - 1]}\u2026"
        letters = 13 if size[0] > NARROW else 10
        lines = textwrap.fill(cut, max(20, int(104 * size[0] / letters)))
        drawn.suptitle(lines, fontsize=letters, fontweight="bold", color=INK)
    return drawn


def captioned(drawn: Figure, *sentences: str, keys: Sequence[Artist] = ()) -> None:
    """Add notes and a legend under the figure, wrapped to its width; empty sentences are left out.

    A printed figure has the legend alone; its notes are part of the caption.
    """
    text = keep_notes(drawn, *sentences)
    assert isinstance(drawn, _Figure)
    # What a legend says of hatched cells is not for those alone who see it.
    drawn.notes += tuple(str(key.get_label()) for key in keys if isinstance(key, Patch) and key.get_hatch())
    width = drawn.get_figwidth()
    keys, left_out = keys[:MOST_KEYS], len(keys) - MOST_KEYS
    if left_out > 0:
        keys = [*keys, Line2D([], [], linestyle="", label=f"and {left_out} more")]
    for key in keys:
        key.set_label(listed(_shorten(str(key.get_label()), max(12, int(width / LETTER) - 8))))
    if not (keys or text):
        return
    # One legend holds both, since matplotlib's layout does not prevent several objects below a figure from
    # overlapping.
    longest = max((len(str(key.get_label())) for key in keys), default=0)
    entry = max(2.2, LETTER * longest + HANDLE) * read_lettering(drawn)
    columns = max(1, int(width / entry))
    legend = drawn.legend(handles=keys, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    legend.set_title(textwrap.fill(text, max(30, int(width * 15))), prop=FontProperties(size=8))
    legend.get_title().set(color=GREY, multialignment="center")


def _shorten(label: str, letters: int) -> str:
    return label if len(label) <= letters else f"{label[: letters - 1]}\u2026"


def keep_notes(drawn: Figure, *sentences: str) -> str:
    """Store the notes of the caption; returns the text that the figure shows, which is empty if printed."""
    assert isinstance(drawn, _Figure)
    drawn.notes = tuple(sentence for sentence in sentences if sentence)
    return "" if drawn.printed else "; ".join(drawn.notes)


def read_lettering(drawn: Figure) -> float:
    """Return the factor by which the letters of a figure are still to be enlarged or reduced."""
    return drawn.lettering if isinstance(drawn, _Figure) else 1.0


def list_notes(drawn: Figure) -> tuple[str, ...]:
    """Return the sentences at the end of the caption of a figure."""
    return drawn.notes if isinstance(drawn, _Figure) else ()


def fit_text(drawn: Figure) -> None:
    """Scale the letters of a printed figure to its width, once; no letter becomes smaller than 6 points."""
    if not isinstance(drawn, _Figure) or drawn.lettering == 1.0:
        return
    times, drawn.lettering = drawn.lettering, 1.0
    ticks: set[Text] = set()
    for axis in (axis for ax in drawn.axes for axis in ax._axis_map.values()):
        size = FontProperties(size=axis.get_tick_params().get("labelsize", mpl.rcParams["xtick.labelsize"]))
        axis.set_tick_params(labelsize=times * float(size.get_size_in_points()))
        ticks |= set(axis.get_ticklabels())
    for text in drawn.findobj(Text):
        assert isinstance(text, Text)
        if text not in ticks:
            text.set_fontsize(times * float(text.get_fontsize()))


def crop_height(drawn: Figure) -> Bbox | None:
    """Find the part of a printed figure that is not empty, over its whole width, inches; None for other figures."""
    if not (isinstance(drawn, _Figure) and drawn.printed):
        return None
    with _without_matplotlibs_warnings():
        drawn.draw_without_rendering()
        found = drawn.get_tightbbox()
    return Bbox([[0.0, found.y0 - BORDER], [drawn.get_figwidth(), found.y1 + BORDER]])


def listed(label: str) -> str:
    """Make a label that legends show, since matplotlib leaves out labels that begin with an underscore."""
    return f" {label}" if label.startswith("_") else label


def tick_text(value: float, _position: int | None = None) -> str:
    """Format the label of a tick: a plain number where that is short, otherwise a power of ten."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.10g}"
    mantissa, exponent = f"{value:.5e}".split("e")
    digits = f"{float(mantissa):g}"
    power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return power if digits == "1" else f"{digits}\u00d7{power}"


def limit_upright(ax: Axes, low: float, high: float) -> None:
    """Set the limits of the vertical axis, slightly apart where both are the same number."""
    if low == high:
        apart = abs(low) / 2 or 0.5  # half of a positive number, so that both limits suit a logarithmic scale
        low, high = low - apart, high + apart
    ax.set_ylim(low, high)


def log_axis(axis: Axis, low: float, high: float, most: int = 7) -> None:
    """Put round ticks on an axis or colour bar that is logarithmic already."""
    axis.set_major_locator(FixedLocator(log_ticks(low, high, most)))
    axis.set_major_formatter(FuncFormatter(tick_text))
    axis.set_minor_locator(NullLocator())


def scale_axis(axis: Axis, limits: Limits, low: float, high: float, most: int = 7) -> None:
    """Put round ticks on an axis or colour bar that has the scale of the limits already, unless it is linear."""
    if limits.log:
        log_axis(axis, low, high, most)
    elif limits.linear is not None:
        axis.set_major_locator(FixedLocator(signed_ticks(low, high, limits.linear, most)))
        axis.set_major_formatter(FuncFormatter(tick_text))
        axis.set_minor_locator(NullLocator())


def make_norm(limits: Limits) -> Normalize:
    """Make the norm that maps values to colours; of signed values zero is in the middle, whatever the limits."""
    if limits.log:
        return LogNorm(limits.low, limits.high)
    reach = max(abs(limits.low), abs(limits.high))
    low, high = (-reach, reach) if limits.signed else (limits.low, limits.high)
    return Normalize(low, high) if limits.linear is None else AsinhNorm(limits.linear, low, high)


def heat_maps(
    style: Style,
    survey: xr.Dataset,
    panels: Sequence[tuple[str, Floats]],
    limits: Limits,
    palette: Palette,
    *,
    colour_label: str,
    lost: Invalid | str | None = None,
    notes: Sequence[str] = (),
    networks: Networks | None = None,
) -> Figure:
    """Draw heat maps with one colour scale, in as many columns as make a well-shaped figure.

    Args:
        style: title and width of the picture.
        survey: the survey, whose first two axes are ``u`` and ``v``.
        panels: titles and values, each of shape (V, U), row 0 at the lowest ``v``.
        limits: the range of the colour scale.
        palette: the colours.
        colour_label: the label of the colour bar.
        lost: the legend entry of hatched cells, which are not finite; by default their number.
        notes: more sentences for the caption.
        networks: the networks to mark in every panel; None marks none.
    """
    edges = data.edges(survey)[:2]
    wide, tall = (float(np.ptp(e)) for e in edges)
    columns = abreast(len(panels), wide / tall, style.width)
    rows = -(-len(panels) // columns)
    flat = columns * wide > 2 * rows * tall or style.is_narrower(NARROW)
    margins = (1.2 + 0.3 * columns, 2.2 + 0.4 * rows) if flat else (2.0 + 0.3 * columns, 1.1 + 0.4 * rows)
    size = panel_size(edges, columns, rows, margins, style.width)
    drawn = figure(style, *size, "compressed")
    stacked = style.width is not None and rows > 1
    labels = [
        wrapped(data.axis_label(survey, axis), (side - margin) / count)
        for axis, side, margin, count in zip(data.axes(survey), size, margins, (columns, rows), strict=False)
    ]
    norm = make_norm(limits)
    placed: list[Axes] = []
    for index, (name, values) in enumerate(panels):
        ax = drawn.add_subplot(rows, columns, index + 1)
        heat_map(ax, values, edges, limits, norm, palette)
        ax.set_title(name, fontsize=10, color=INK)
        if networks is not None:
            marks.mark_plane(ax, networks)
        first, last = index % columns == 0, index + columns >= len(panels)
        ax.tick_params(labelleft=first, labelbottom=last)
        ax.set(xlabel=labels[0] if last else "", ylabel=labels[1] if first and not stacked else "")
        placed.append(ax)
    if stacked:  # panels of a narrow figure are too low for a label each
        drawn.supylabel(data.axis_label(survey, data.axes(survey)[1]), fontsize=10)
    colour_bar(drawn, placed, norm, limits, palette, colour_label, flat=flat)
    if lost is None:
        lost = invalid(np.stack([values for _, values in panels]))
    captioned(drawn, *notes, tell_shades(palette), limits.note, keys=hatched(palette, lost))
    return drawn


def is_share(field: data.Field) -> bool:
    """Whether the quantity is a kind of accuracy, whose high values are good."""
    return field.metric.endswith(scales.ACCURACY)


def choose_palette(field: data.Field, limits: Limits) -> Palette:
    """Choose the colours of a quantity on a scale: those of its sign where that matters."""
    return SIGNED if limits.signed else ACCURACY if is_share(field) else LOSS


def tell_shades(palette: Palette) -> str:
    """State which end of a colour scale is dark, as far as one is; any reader of a picture in grey needs to know.

    Of the colours of signed values it is neither, and their meaning is stated instead.
    """
    if palette.colours == SIGNED.colours:
        return "pale is zero, orange below it, purple above"
    low, high = (float(np.dot(LUMINANCE, mpl.colormaps[palette.colours](end)[:3])) for end in (0.0, 1.0))
    return f"dark is {'low' if low < high else 'high'}" if abs(high - low) > APART else ""


def hatched(palette: Palette, lost: Invalid | str) -> list[Patch]:
    """Make the legend entry for cells that are not finite; empty where all are finite."""
    patch = Patch(facecolor=palette.invalid, edgecolor=palette.hatch, hatch="/////", label=str(lost))
    return [patch] * bool(lost)


def hatch(ax: Axes, palette: Palette) -> None:
    """Hatch the background of the axes, which is visible where values are not finite."""
    ax.patch.set(facecolor=palette.invalid, edgecolor=palette.hatch, hatch="/////", linewidth=0)


def wrapped(label: str, inches: float) -> str:
    """Wrap a label to a length in inches."""
    return textwrap.fill(label, max(8, int(inches / LETTER)), break_long_words=False)


def panel_size(
    edges: Sequence[Floats],
    columns: int = 1,
    rows: int = 1,
    margins: tuple[float, float] = (1.0, 1.0),
    room: float | None = None,
) -> tuple[float, float]:
    """Compute width and height in inches of a figure whose panels have the shape of the plane, with margins.

    Where ``room`` is given, the figure is at most that many inches wide, if its panels can be made small enough.
    """
    wide, tall = (float(np.ptp(e)) for e in edges)
    inch = min(PANEL / max(wide, tall), LONGEST / max(columns * wide, rows * tall))
    if columns * rows == 1 and wide > 2 * tall:
        inch = 2 * PANEL / wide
    if room is not None:
        inch = min(inch, max(room - margins[0], SHORTEST) / (columns * wide))
    width, height = (max(SHORTEST, inch * extent) for extent in (wide, tall))
    return columns * width + margins[0], rows * height + margins[1]


def dress_plane(ax: Axes) -> None:
    """Style the axes of a plane: equal units along both axes, few ticks, a thin frame."""
    ax.set_aspect("equal")
    ax.locator_params(nbins=5)
    ax.tick_params(labelsize=8, colors=INK)
    for spine in ax.spines.values():
        spine.set(linewidth=0.6, color=GREY)


def heat_map(
    ax: Axes, values: Floats, edges: Sequence[Floats], limits: Limits, norm: Normalize, palette: Palette
) -> None:
    """Draw one heat map (V, U); cells that are not finite are hatched."""
    # Cells that are not finite stay transparent, so that the hatched background of the axes is visible.
    shown = np.ma.masked_invalid(limits.shown(values))
    # As separate shapes, cells in PDF and SVG files would show seams and take megabytes.
    ax.pcolormesh(*edges, shown, cmap=mpl.colormaps[palette.colours], norm=norm, rasterized=True)
    hatch(ax, palette)
    dress_plane(ax)


def colour_bar(
    drawn: Figure, placed: list[Axes], norm: Normalize, limits: Limits, palette: Palette, label: str, *, flat: bool
) -> None:
    """Draw the colour bar of heat maps: to their right, or below them if they are flat."""
    mappable = ScalarMappable(norm, mpl.colormaps[palette.colours])
    place = "bottom" if flat else "right"
    bar = drawn.colorbar(mappable, ax=placed, location=place, extend=limits.extend, aspect=30, pad=0.03, fraction=0.06)
    most = 4 if flat and drawn.get_figwidth() < NARROW else 7
    scale_axis(bar.ax.xaxis if flat else bar.ax.yaxis, limits, float(norm.vmin or 0), float(norm.vmax or 0), most)
    dress_bar(bar, label)


def thin(ticks: Sequence[float], inches: float) -> list[float]:
    """Select evenly spaced ticks, as many as have room for their labels on the given length in inches."""
    return list(ticks[:: max(1, -(-len(ticks) // max(2, int(inches / TICK))))])


def dress_bar(bar: Colorbar, label: str) -> None:
    """Style a colour bar: its label, small ticks, a thin frame."""
    bar.set_label(label)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_linewidth(0.6)


def abreast(panels: int, aspect: float, room: float | None = None) -> int:
    """Choose the number of columns so that the sides of the figure are nearest to 8 : 5, and no panel is too narrow.

    Args:
        panels: the number of panels.
        aspect: the width of a panel over its height.
        room: the width of the figure in inches; None for any width.
    """
    most = panels if room is None else min(panels, max(1, int(room / LEAST_PANEL) if room >= NARROW else 1))

    def distance(columns: int) -> float:
        rows = -(-panels // columns)
        return abs(float(np.log(columns * aspect / rows / 1.6)))

    return min(range(1, most + 1), key=distance)
