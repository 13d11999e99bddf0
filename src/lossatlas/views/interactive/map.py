"""A heat map of a quantity over a plane."""

from __future__ import annotations

import xarray as xr

from lossatlas.views import data
from lossatlas.views.base import InteractiveView
from lossatlas.views.networks import networks
from lossatlas.views.plot import Plot
from lossatlas.views.traces import assemble, lay_out_plane, list_choices, make_flag, make_heat_map

__all__ = ["Map"]


class Map(InteractiveView):
    """A heat map of the chosen variable, for planes without a loss or with a single point along an axis."""

    needs = "two axes"
    caption = "A heat map over the two axes; the menu chooses the quantity."
    rank = 20

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) == 2

    def plot(self, survey: xr.Dataset) -> Plot:
        choices = list_choices(survey)
        traces = [make_heat_map(survey, field, field.plane()) for field in choices]
        there = networks(survey)
        flags = [
            make_flag(name) | {"x": float(u), "y": float(v)} for name, (u, v) in zip(there.names, there.at, strict=True)
        ]
        layout = lay_out_plane(survey) | {"annotations": flags}
        hint = "The menu chooses what the colour shows." * (len(choices) > 1)
        json = assemble(traces, layout, first_only=True)
        return Plot(json, [field.label for field in choices], hint, "move")
