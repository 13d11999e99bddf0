"""A colour picture: the colours that the losses of three groups of classes make, and each channel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lossatlas.schema import CHANNELS
from lossatlas.views import data, figures, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.colours import Colours, read_colours
from lossatlas.views.looks import INK
from lossatlas.views.scales import Floats, Limits
from lossatlas.views.style import Style

__all__ = ["Colour"]

ACHIEVED = replace(figures.LOSS, colours="gray")
# Points without a requested loss are not errors, so that their colours are paler than those of values not finite.
ASKED = replace(ACHIEVED, invalid="#e4e6eb", hatch="#e4e6eb")
PANEL = 2.3  # inches; the longer side of a panel


class Colour(SurveyView):
    """A row for the requested picture and one for each split: the colours, and red, green and blue as greys."""

    needs = "two axes, target losses of red, green and blue, and the losses of their groups of classes"
    caption = (
        "The requested colour picture and what the losses of three groups of classes make of it, with each channel: "
        "bright is high loss, on a log scale."
    )
    rank = 5

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) == 2 and read_colours(survey) is not None

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        found = read_colours(survey)
        return [] if found is None else [field for fields in found.achieved.values() for field in fields]

    def describe(self, survey: xr.Dataset) -> str:
        found = read_colours(survey)
        if found is None or not found.groups:
            return self.caption
        named = [f"{channel} of {classes}" for channel, classes in zip(CHANNELS, found.groups, strict=True)]
        return f"{self.caption} The channels are mean losses of classes: {', '.join(named)}."

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        found = read_colours(survey)
        assert found is not None
        edges = data.edges(survey)
        wide, tall = (float(np.ptp(e)) for e in edges)
        inch = PANEL / max(wide, tall)
        rows = {"requested": found.asked, **found.achieved}
        columns = 1 + len(CHANNELS)
        drawn = figures.figure(style, columns * (inch * wide + 0.15) + 1.6, len(rows) * (inch * tall + 0.1) + 1.2)
        values = np.stack([field.values for fields in found.achieved.values() for field in fields])
        limits = _limit(found, values)
        norm = figures.make_norm(limits)
        placed: list[Axes] = []
        for row, (name, fields) in enumerate(rows.items()):
            palette = ASKED if row == 0 else ACHIEVED
            ax = drawn.add_subplot(len(rows), columns, row * columns + 1)
            ax.pcolormesh(*edges, found.image(fields), rasterized=True)
            figures.hatch(ax, palette)
            _dress(ax, "colours" if row == 0 else "", name or "achieved")
            for place, (channel, field) in enumerate(zip(CHANNELS, fields, strict=True), 2):
                ax = drawn.add_subplot(len(rows), columns, row * columns + place)
                figures.heat_map(ax, _hold(field.plane(), limits), edges, limits, norm, palette)
                classes = f", classes {found.groups[place - 2]}" if found.groups else ""
                _dress(ax, figures.wrapped(f"{channel}{classes}", inch * wide + 0.15) if row == 0 else "", "")
                placed.append(ax)
        label = rows["requested"][0].scale_label(limits, "mean loss of the classes")
        figures.colour_bar(drawn, placed, norm, limits, ACHIEVED, label, flat=style.is_narrower(figures.NARROW))
        lost = scales.invalid(values)
        keys = [*figures.hatched(ASKED, "no loss requested" * bool(np.isnan(found.asked[0].values).any()))]
        figures.captioned(drawn, *data.notes(survey), limits.note, keys=[*keys, *figures.hatched(ACHIEVED, lost)])
        return drawn


def _limit(found: Colours, values: Floats) -> Limits:
    """Make the scale from black to full colour, and say how many losses lie beyond it."""
    finite = values[np.isfinite(values)]
    below, above = int((finite < found.low).sum()), int((finite > found.high).sum())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below > 0, above > 0), "neither")
    ends = f"black is {scales.number(found.low)} or less, white and full colour {scales.number(found.high)} or more"
    clipped = f"; {below:,} losses of {values.size:,} lie below and {above:,} above" * (below + above > 0)
    return Limits(found.low, found.high, True, None, extend, f"{ends}, on a log scale{clipped}")


def _hold(values: Floats, limits: Limits) -> Floats:
    return np.asarray(np.clip(values, limits.low, limits.high))


def _dress(ax: Axes, title: str, label: str) -> None:
    figures.dress_plane(ax)
    ax.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    ax.set_title(title, fontsize=10, color=INK)
    ax.set_ylabel(label, fontsize=10, color=INK)
