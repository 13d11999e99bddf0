"""The loss along the straight lines between the networks of a comparison."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossatlas.views import data, figures, scales
from lossatlas.views.comparisons._comparison import FAINT, ComparisonView, draw_curves, list_groups
from lossatlas.views.looks import GREY
from lossatlas.views.style import MILLIMETRE, SCALED, Style

__all__ = ["Lines"]


class Lines(ComparisonView):
    """Curves of the loss along the straight line between each pair of networks with the same architecture."""

    needs = "lines between its networks"
    caption = "The loss along the straight line between each pair of networks with the same architecture."
    rank = 30
    narrowest = 80 * MILLIMETRE
    heeds = SCALED

    def applies(self, comparison: xr.Dataset) -> bool:
        return f"line_{comparison.attrs['split']}_loss" in comparison

    def draw(self, comparison: xr.Dataset, style: Style) -> Figure:
        groups = list_groups(comparison)
        name = f"line_{comparison.attrs['split']}_loss"
        values = data.read_numbers(comparison, name)
        several = len(groups.colours) < len(groups.of)
        curves, keys = [], groups.keys()
        for k in range(len(groups.of)):
            for i in range(k):
                if np.isfinite(values[i, k]).any():
                    alike = groups.of[i] == groups.of[k]
                    curves.append((values[i, k], groups.colour(i) if alike and several else FAINT))
        drawn, ax, limits = draw_curves(style, comparison, "alpha", name, curves)
        for end in (0.0, 1.0):
            ax.axvline(end, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
        ax.set_xlabel("from one network (0) to another (1)")
        between = Line2D([], [], color=FAINT, label="networks of two groups", linewidth=2)
        alone = Line2D([], [], color=FAINT, label="two networks", linewidth=2)
        known = np.concatenate([curve for curve, _ in curves]) if curves else np.empty(0)
        figures.captioned(
            drawn, scales.invalid(known).describe(), limits.note, keys=[*keys, between] if several else [alone]
        )
        return drawn
