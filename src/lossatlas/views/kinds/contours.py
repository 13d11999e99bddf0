"""Contour lines of the loss over a plane."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import scales
from lossatlas.views.base import SurveyView
from lossatlas.views.kinds._splits import has_plane_of, has_points_between, split_contours
from lossatlas.views.style import CONTOURED, Style

__all__ = ["Contours"]


class Contours(SurveyView):
    """Contour lines labelled with their levels, a panel per split; by default round levels are chosen from the data."""

    needs = "two axes with at least two points each, and a loss"
    caption = "Contour lines of the loss over the two axes, a panel per split, labelled with their levels."
    rank = 25
    heeds = CONTOURED

    def applies(self, survey: xr.Dataset) -> bool:
        return has_plane_of(survey, scales.LOSS) and has_points_between(survey)

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        return split_contours(survey, style, filled=False)
