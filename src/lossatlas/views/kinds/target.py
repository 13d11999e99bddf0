"""The requested picture."""

from __future__ import annotations

import xarray as xr
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lossatlas.views import data, figures
from lossatlas.views.base import SurveyView
from lossatlas.views.style import Style

__all__ = ["Target"]

MEANINGS = {1: ("low loss requested", "#1d1147"), -1: ("high loss requested", "#fbe8b4"), 0: ("ignored", "#b4b8c2")}


class Target(SurveyView):
    """A map of the points for which a low loss was requested, and of those for which a high one was."""

    needs = "two axes and a target"
    caption = "The requested picture: dark where a low loss was requested, light where a high loss was requested."
    rank = 10

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) == 2 and data.target(survey) is not None

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        return []

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        wanted = data.target(survey)
        assert wanted is not None
        edges = data.edges(survey)
        drawn = figures.figure(style, *figures.panel_size(edges, margins=(1.0, 1.5)))
        ax = drawn.add_subplot()
        colours = ListedColormap([MEANINGS[sign][1] for sign in (-1, 0, 1)])
        ax.pcolormesh(*edges, wanted.T, cmap=colours, vmin=-1, vmax=1)
        figures.dress_plane(ax)
        u, v = data.axes(survey)
        ax.set(xlabel=data.axis_label(survey, u), ylabel=data.axis_label(survey, v))
        counts = {sign: int((wanted == sign).sum()) for sign in MEANINGS}
        handles = [
            Patch(facecolor=colour, edgecolor=figures.GREY, label=f"{words}: {counts[sign]:,} cells")
            for sign, (words, colour) in MEANINGS.items()
            if counts[sign]
        ]
        figures.captioned(drawn, keys=handles)
        return drawn
