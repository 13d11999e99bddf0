"""Test error against sharpness of the networks of a comparison."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import data, figures
from lossatlas.views.comparisons._comparison import ComparisonView, list_groups
from lossatlas.views.looks import INK
from lossatlas.views.style import Style

__all__ = ["Sharpness"]


class Sharpness(ComparisonView):
    """A scatter plot with a mark per network and a dot per repeat."""

    needs = "a sharpness and a test error"
    caption = (
        "Test error against sharpness, with a mark for the mean of each network and a dot for each of its repeats."
    )
    rank = 50

    def applies(self, comparison: xr.Dataset) -> bool:
        return all(np.isfinite(comparison[name].values).any() for name in ("sharpness", "test_error"))

    def draw(self, comparison: xr.Dataset, style: Style) -> Figure:
        groups = list_groups(comparison)
        sharpness, error = (data.read_numbers(comparison, name) for name in ("sharpness", "test_error"))
        drawn = figures.figure(style, 6.4, 4.6)
        ax = drawn.add_subplot()
        for run, row in enumerate(sharpness):
            colour = groups.colour(run)
            ax.plot(row, np.full(row.shape, error[run]), ".", color=colour, alpha=0.45, markersize=5)
            ax.plot([row.mean()], [error[run]], "o", color=colour, markeredgecolor=INK, markersize=7)
        finite = sharpness[np.isfinite(sharpness)]
        if finite.min() > 0 and finite.max() > 20 * finite.min():
            ax.set_xscale("log")
            figures.log_axis(ax.xaxis, *ax.get_xlim())
        ax.set(
            xlabel=data.label_variable(comparison, "sharpness"), ylabel=data.label_variable(comparison, "test_error")
        )
        ax.tick_params(labelsize=8)
        figures.captioned(
            drawn, "circles: the mean over the repeats of a network; dots: single repeats", keys=groups.keys()
        )
        return drawn
