"""The loss of several planes side by side."""

from __future__ import annotations

from matplotlib.figure import Figure

from lossatlas.views import data, scales
from lossatlas.views.overlays._overlay import OverlayView, Surveys, choose_fields, draw_planes
from lossatlas.views.style import CONTOURED, Style

__all__ = ["LossPlanes"]


class LossPlanes(OverlayView):
    """Filled contours of the loss of several planes side by side, with one scale and the same levels."""

    needs = "two axes with at least two points each in all of them, and the loss in all"
    caption = "Filled contours of the loss over several planes, with one colour scale and the same levels."
    rank = 10
    metric = scales.LOSS
    heeds = CONTOURED

    def applies(self, surveys: Surveys) -> bool:
        return all(len(data.axes(one)) == 2 for one in surveys.values()) and bool(choose_fields(surveys, self.metric))

    def draw(self, surveys: Surveys, style: Style) -> Figure:
        return draw_planes(style, surveys, self.metric)
