"""The loss over a plane."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import figures, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.kinds._splits import has_plane_of, split_maps
from lossatlas.views.style import COLOURED, Style

__all__ = ["Loss"]


class Loss(SurveyView):
    """Heat maps of the loss on a logarithmic scale, one per split; low loss is dark."""

    needs = "two axes and a loss"
    caption = "Heat maps of the loss over the two axes, one per split with a common colour scale."
    rank = 20
    heeds = COLOURED

    def applies(self, survey: xr.Dataset) -> bool:
        return has_plane_of(survey, scales.LOSS)

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        return split_maps(survey, scales.LOSS, figures.LOSS, style)
