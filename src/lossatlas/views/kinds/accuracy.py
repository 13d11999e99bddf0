"""The accuracy over a plane."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import figures, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.kinds._splits import has_plane_of, split_maps
from lossatlas.views.style import COLOURED, Style

__all__ = ["Accuracy"]


class Accuracy(SurveyView):
    """Heat maps of the accuracy, one per split; high accuracy is dark, as low loss is in other pictures."""

    needs = "two axes and an accuracy"
    caption = "Heat maps of the accuracy over the two axes, one per split with a common colour scale."
    rank = 30
    heeds = COLOURED
    metric = scales.ACCURACY

    def applies(self, survey: xr.Dataset) -> bool:
        return has_plane_of(survey, scales.ACCURACY)

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        return split_maps(survey, scales.ACCURACY, figures.ACCURACY, style)
