"""Matrices of the differences between the networks of a comparison."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import data, figures
from lossatlas.views.comparisons._comparison import SHARES, ComparisonView
from lossatlas.views.matrices import draw_matrix
from lossatlas.views.networks import short
from lossatlas.views.style import Style

__all__ = ["Differences"]

PAIRWISE = ("distance", "barrier", "barrier_slope", "disagreement", "js_divergence", "squared_difference")
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
            draw_matrix(
                ax, data.read_numbers(comparison, name), names, data.label_variable(comparison, name), side,
                share=name in SHARES,
            )  # fmt: skip
        return drawn


def _list_shown(comparison: xr.Dataset) -> list[str]:
    """List the quantities of pairs that are known for at least one pair."""
    return [name for name in PAIRWISE if name in comparison and np.isfinite(comparison[name].values).any()]
