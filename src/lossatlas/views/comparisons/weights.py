"""Histograms of the weights of the networks of a comparison."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import data, figures, scales
from lossatlas.views.comparisons._comparison import ComparisonView, list_groups
from lossatlas.views.style import Style

__all__ = ["Weights"]


class Weights(ComparisonView):
    """Histograms of the weights of all networks on shared axes."""

    needs = "histograms of its networks' weights"
    caption = "Histograms of the weights of all networks on shared axes; the logarithmic axis shows the tails."
    rank = 60

    def applies(self, comparison: xr.Dataset) -> bool:
        return "weights" in comparison

    def draw(self, comparison: xr.Dataset, style: Style) -> Figure:
        groups = list_groups(comparison)
        counts, edges = data.read_numbers(comparison, "weights"), data.cell_edges(data.read_numbers(comparison, "bin"))
        drawn = figures.figure(style, 8.6, 4.6)
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
