"""The networks of a survey as marks: labelled points on planes, thin lines with names across curves."""

from __future__ import annotations

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes

from lossatlas.views.looks import GREY, INK, PAPER
from lossatlas.views.networks import Networks

__all__ = ["ROW", "cross", "mark_line", "mark_plane", "rows_of_names"]

LETTER = 0.068  # inches; the width of a letter in the name of a network
ROW = 11  # points; the height of a row of names
HALO = 2.2  # points; white around dark letters, which are then legible on any colour


def mark_plane(ax: Axes, networks: Networks) -> None:
    """Mark each network with a labelled point, its name on the side with more room; axes must have their limits."""
    left, right = ax.get_xlim()
    bottom, top = ax.get_ylim()
    for name, (u, v) in zip(networks.names, networks.at, strict=True):
        ax.plot(
            [u], [v], "o", color=PAPER, markeredgecolor=INK, markersize=5, markeredgewidth=1.2, zorder=8,
            scalex=False, scaley=False, clip_on=False,
        )  # fmt: skip
        rightward, upward = u <= (left + right) / 2, v <= (bottom + top) / 2
        label = ax.annotate(
            name,
            (u, v),
            xytext=(5 if rightward else -5, 4 if upward else -4),
            textcoords="offset points",
            ha="left" if rightward else "right",
            va="bottom" if upward else "top",
            fontsize=8,
            color=INK,
            zorder=9,
        )
        label.set_path_effects([effects.withStroke(linewidth=HALO, foreground=PAPER)])


def mark_line(ax: Axes, networks: Networks, inches: float) -> int:
    """Mark each network with a thin vertical line and its name above the axes.

    Args:
        ax: axes with curves, whose limits are set.
        networks: networks on a chart with one axis.
        inches: the approximate width of the axes; names that would overlap stand one above the other.

    Returns:
        The number of rows of names, each :data:`ROW` points high.
    """
    left, right = ax.get_xlim()
    places = (networks.at[:, 0] - left) / (right - left) * inches
    widths = np.array([LETTER * len(name) for name in networks.names])
    rows = rows_of_names(places, widths)
    cross(ax, networks)
    for name, (u,), row in zip(networks.names, networks.at, rows, strict=True):
        ax.annotate(
            name,
            (u, 1),
            xycoords=ax.get_xaxis_transform(),
            xytext=(0, 3 + ROW * row),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            color=GREY,
        )
    return 1 + max(rows, default=-1)


def cross(ax: Axes, networks: Networks) -> None:
    """Mark each network on a chart with one axis by a thin vertical line, without its name."""
    for (u,) in networks.at:
        ax.axvline(u, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)


def rows_of_names(places: np.ndarray, widths: np.ndarray) -> list[int]:
    """Assign each name to a row, from 0, so that names in a row do not overlap: first fit from the left.

    Args:
        places: the centres of the names (names,).
        widths: the widths of the names (names,), in the same unit.
    """
    rows = [0] * len(places)
    ends: list[float] = []
    for index in np.argsort(places, kind="stable"):
        start = places[index] - widths[index] / 2
        row = next((k for k, end in enumerate(ends) if end <= start), len(ends))
        ends[row : row + 1] = [places[index] + widths[index] / 2]
        rows[index] = row
    return rows
