"""What pictures of a comparison share: groups and their colours, and curves of all networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossatlas.views import data, figures, lines, looks, scales
from lossatlas.views.base import StillView
from lossatlas.views.style import Style

__all__ = [
    "FAINT",
    "SHARES",
    "ComparisonView",
    "Groups",
    "draw_curves",
    "list_groups",
]

SHARES = {"disagreement"}
"""Quantities that are fractions, which pictures show in percent."""
FAINT = "#9a9ca5"


class ComparisonView(StillView[xr.Dataset]):
    """A kind of picture of a comparison of networks, with dimensions ``run``, ``other_run`` and ``repeat``."""

    subject = "comparison"

    def list_contents(self, subject: xr.Dataset) -> str:
        return f"{subject.sizes['run']} networks and variables {', '.join(sorted(map(str, subject.data_vars)))}"

    def describe_alternative(self, subject: xr.Dataset) -> str:
        names = ", ".join(str(name) for name in subject["run"].values)
        return f"{self.describe(subject)} {subject.sizes['run']} networks: {names}."


@dataclass(frozen=True)
class Groups:
    """The groups of the networks and their colours.

    Attributes:
        of: The group of each network.
        colours: The colour of each group.
    """

    of: tuple[str, ...]
    colours: dict[str, str]

    def colour(self, place: int) -> str:
        """The colour of the network with this index."""
        return self.colours[self.of[place]]

    def keys(self) -> list[Artist]:
        """The legend entries, one for each group."""
        return [Line2D([], [], color=colour, label=group, linewidth=2) for group, colour in self.colours.items()]


def list_groups(comparison: xr.Dataset) -> Groups:
    """List the groups of the networks of a comparison."""
    of = tuple(str(group) for group in comparison["group"].values)
    return Groups(of, {group: looks.colour(index) for index, group in enumerate(dict.fromkeys(of))})


def draw_curves(
    style: Style, comparison: xr.Dataset, axis: str, name: str, curves: Sequence[tuple[scales.Floats, str]]
) -> tuple[Figure, Axes, scales.Limits]:
    """Draw thin curves (U,) of a variable along an axis, on a logarithmic scale unless losses are negative."""
    drawn, at = figures.figure(style, 8.6, 5.2), data.read_numbers(comparison, axis)
    ax = drawn.add_subplot()
    every = np.concatenate([values for values, _ in curves]) if curves else np.empty(0)
    limits = style.limit_values(every, scales.limits(every, log=True))
    for values, colour in curves:
        ax.plot(
            at, np.where(np.isfinite(values), limits.shown(values), np.nan), color=colour, linewidth=1.1, alpha=0.75
        )
    lines.frame(ax, limits.shown(every), limits)
    ax.margins(x=0.02)
    ax.set_ylabel(data.label_variable(comparison, name))
    ax.tick_params(labelsize=8)
    return drawn, ax, limits
