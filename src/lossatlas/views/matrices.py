"""Matrices of how much networks differ, pair by pair, as pictures of comparisons and of ensembles show them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from lossatlas.views.looks import INK, PAPER
from lossatlas.views.scales import Floats

__all__ = ["DIFFERENCES", "EMPTY", "draw_matrix"]

DIFFERENCES = "YlGnBu"
EMPTY = "#f1f0ec"
READABLE = 14  # networks; in larger matrices the numbers would overlap
WIDE = 100  # the ratio of largest to smallest value beyond which a quantity has a logarithmic scale
LETTERS = 9  # of a heading, to an inch
NAME = 0.17  # inches; the height of a network's name


def draw_matrix(
    ax: Axes, values: Floats, names: Sequence[str], label: str, side: float, *, share: bool = False
) -> None:
    """Draw how much each two networks differ as coloured cells, with their numbers where there is room for them.

    Args:
        ax: the axes.
        values: the numbers (networks, networks); the diagonal is left empty, and so is what is not finite.
        names: of the networks; so many of them are shown as have room.
        label: the heading.
        side: the side of the matrix, inches, about.
        share: whether the numbers are fractions, which are shown in percent.
    """
    values, count = values.copy(), len(names)
    np.fill_diagonal(values, np.nan)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    log = low > 0 and high > WIDE * low
    norm: Normalize = LogNorm(low, high) if log else Normalize(min(0.0, low), high if high > 0 else 1.0)
    ax.imshow(np.ma.masked_invalid(values), cmap=mpl.colormaps[DIFFERENCES], norm=norm)
    ax.set_facecolor(EMPTY)
    shown = range(0, count, max(1, round(count * NAME / side)))
    ax.set_xticks(shown, [names[k] for k in shown], rotation=90, fontsize=7.5)
    ax.set_yticks(shown, [names[k] for k in shown], fontsize=7.5)
    ax.set_title(textwrap.fill(label, int(side * LETTERS)), fontsize=9.5, color=INK)
    if count <= READABLE:
        for i, k in zip(*np.nonzero(np.isfinite(values)), strict=True):
            ink = PAPER if norm(values[i, k]) > 0.55 else INK
            ax.text(k, i, _brief(values[i, k], share=share), fontsize=7, color=ink, ha="center", va="center")


def _brief(value: float, *, share: bool) -> str:
    """Format a number with two digits, for small cells."""
    return f"{100 * value:.{3 if value >= 0.995 else 2}g} %" if share else f"{value:.2g}"
