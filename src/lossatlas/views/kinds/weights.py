"""Histograms of the weights of the networks."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import data, figures, looks
from lossatlas.views.base import SurveyView
from lossatlas.views.networks import histograms
from lossatlas.views.style import Style

__all__ = ["Weights"]

LEAST = 0.5  # weights; the beginning of the logarithmic axis of counts, below a single one


class Weights(SurveyView):
    """Histograms of the weights of the networks that the survey lies around or between, on shared axes."""

    needs = "histograms of the networks' weights"
    caption = "Histograms of the weights of each network; the logarithmic axis shows the tails."
    rank = 60

    def applies(self, survey: xr.Dataset) -> bool:
        return bool(histograms(survey))

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        return []

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        drawn = figures.figure(style, 8.0, 4.6)
        ax = drawn.add_subplot()
        keys, most = [], 1.0
        for index, one in enumerate(histograms(survey)):
            colour = looks.colour(index)
            counts = np.maximum(one.counts, LEAST)
            ax.stairs(counts, one.edges, baseline=LEAST, fill=True, color=colour, alpha=0.15, linewidth=0)
            keys.append(ax.stairs(counts, one.edges, baseline=LEAST, color=colour, linewidth=1.4, label=one.label))
            most = max(most, float(one.counts.max(initial=0)))
        ax.set_yscale("log")
        ax.set_ylim(LEAST, 2 * most)
        figures.log_axis(ax.yaxis, LEAST, 2 * most)
        ax.margins(x=0.01)
        ax.set(xlabel="weight", ylabel="weights per bin (log scale)")
        ax.tick_params(labelsize=8)
        figures.captioned(drawn, "std: the standard deviation of all weights, from the bins", keys=keys)
        return drawn
