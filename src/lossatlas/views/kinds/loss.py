"""The loss over a plane."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import figures, scales
from lossatlas.views.base import View
from lossatlas.views.kinds._splits import has_plane_of, split_maps

__all__ = ["Loss"]


class Loss(View):
    """Heat maps of the loss on a logarithmic scale, one per split; low is dark."""

    needs = "two axes and a loss"
    caption = "The loss at each point of the plane, on a logarithmic scale where it can be; dark is low."
    rank = 20

    def applies(self, survey: xr.Dataset) -> bool:
        return has_plane_of(survey, scales.LOSS)

    def draw(self, survey: xr.Dataset, title: str) -> Figure:
        return split_maps(survey, scales.LOSS, figures.LOSS, title)
