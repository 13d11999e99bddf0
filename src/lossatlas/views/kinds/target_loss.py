"""The requested loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import data, figures, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.style import COLOURED, Style

__all__ = ["TargetLoss"]

# Points without a requested loss are not errors, so that their colours are paler than those of values not finite.
QUIET = replace(figures.LOSS, invalid="#e4e6eb", hatch="#b4b8c2")


class TargetLoss(SurveyView):
    """A heat map of the requested loss of each point, in the colours of the loss."""

    needs = "two axes and a target loss"
    caption = "The requested loss: a heat map of the loss that was requested at each point; dark is low loss."
    rank = 10
    heeds = COLOURED

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) == 2 and data.target_loss(survey) is not None

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        asked = data.target_loss(survey)
        return [asked] if asked is not None else []

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        wanted = data.target_loss(survey)
        assert wanted is not None
        limits = style.limit([wanted], log=True)
        return figures.heat_maps(
            style,
            survey,
            [(wanted.label, wanted.plane())],
            limits,
            style.colour(QUIET, scales.LOSS),
            colour_label=wanted.scale_label(limits),
            lost="no loss requested" * bool(np.isnan(wanted.values).any()),
        )
