"""Filled contours of the loss over a plane."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import scales
from lossatlas.views.base import SurveyView
from lossatlas.views.kinds._splits import has_plane_of, has_points_between, split_contours
from lossatlas.views.style import CONTOURED, Style

__all__ = ["Filled"]


class Filled(SurveyView):
    """Filled contours of the loss, a panel per split, with a colour bar; low loss is dark."""

    needs = "two axes with at least two points each, and a loss"
    caption = "Filled contours of the loss over the two axes, a panel per split, with the same levels."
    rank = 26
    heeds = CONTOURED

    def applies(self, survey: xr.Dataset) -> bool:
        return has_plane_of(survey, scales.LOSS) and has_points_between(survey)

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        return split_contours(survey, style, filled=True)
