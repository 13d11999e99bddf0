"""Contour lines of the loss over a plane."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import scales
from lossatlas.views.base import View
from lossatlas.views.kinds._splits import has_plane_of, has_points_between, split_contours

__all__ = ["Contours"]


class Contours(View):
    """Contour lines with their levels, one panel per split; the levels are round and taken from the data."""

    needs = "two axes with at least two points each, and a loss"
    caption = "Lines of equal loss, each with its level; the levels are logarithmically spaced where they can be."
    rank = 25

    def applies(self, survey: xr.Dataset) -> bool:
        return has_plane_of(survey, scales.LOSS) and has_points_between(survey)

    def draw(self, survey: xr.Dataset, title: str) -> Figure:
        return split_contours(survey, title, filled=False)
