"""Matrices of the differences between the networks of a comparison."""

from __future__ import annotations

import textwrap

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from lossatlas.views import data, figures
from lossatlas.views.comparisons._comparison import DIFFERENCES, EMPTY, SHARES, ComparisonView, label_variable
from lossatlas.views.looks import INK, PAPER
from lossatlas.views.networks import short
from lossatlas.views.style import Style

__all__ = ["Differences"]

PAIRWISE = ("distance", "barrier", "barrier_slope", "disagreement", "js_divergence", "squared_difference")
READABLE = 14  # networks; in larger matrices the numbers would overlap
WIDE = 100  # the ratio of largest to smallest value beyond which a quantity has a logarithmic scale
LEAST = 2.3  # inches; the least width of a panel, where several stand side by side


class Differences(ComparisonView):
    """A matrix of each quantity that compares two networks."""

    needs = "quantities of pairs of networks"
    caption = (
        "Matrices of the quantities that compare two networks (distance in weight space, loss barrier, different "
        "predictions), each with its own colour scale."
    )
    rank = 40
    whole = True

    def applies(self, comparison: xr.Dataset) -> bool:
        return bool(_list_shown(comparison))

    def draw(self, comparison: xr.Dataset, style: Style) -> Figure:
        shown = _list_shown(comparison)
        names, count = [short(str(name)) for name in comparison["run"].values], comparison.sizes["run"]
        columns = min(3 if style.width is None else max(1, int(style.width / LEAST)), len(shown))
        rows = -(-len(shown) // columns)
        side = float(np.clip(0.42 * count, 2.6, 5.0))
        drawn = figures.figure(style, columns * (side + 1.4), rows * (side + 1.2))
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
            ax.set_title(textwrap.fill(label_variable(comparison, name), int(side * 9)), fontsize=9.5, color=INK)
            if count <= READABLE:
                for i, k in zip(*np.nonzero(np.isfinite(values)), strict=True):
                    ink = PAPER if norm(values[i, k]) > 0.55 else INK
                    ax.text(k, i, _brief(name, values[i, k]), fontsize=7, color=ink, ha="center", va="center")
        return drawn


def _list_shown(comparison: xr.Dataset) -> list[str]:
    """List the quantities of pairs that are known for at least one pair."""
    return [name for name in PAIRWISE if name in comparison and np.isfinite(comparison[name].values).any()]


def _brief(name: str, value: float) -> str:
    """Format a number with two digits, for small cells."""
    return f"{100 * value:.{3 if value >= 0.995 else 2}g} %" if name in SHARES else f"{value:.2g}"
