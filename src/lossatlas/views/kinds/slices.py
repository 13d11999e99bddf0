"""The loss in a volume, as a heat map per slice."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import data, figures, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.style import COLOURED, Style

__all__ = ["Slices"]

MOST = 12  # slices; a page cannot show more legibly


class Slices(SurveyView):
    """Heat maps of the loss of one split (test, if there is one) at values of the third axis, with one colour scale."""

    needs = "three axes and a loss"
    caption = "Heat maps of the loss on slices through the volume, with a common colour scale."
    rank = 20
    heeds = COLOURED

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) == 3 and bool(data.fields(survey, scales.LOSS))

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        return [data.preferred(data.fields(survey, scales.LOSS))]

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        field = data.preferred(data.fields(survey, scales.LOSS))
        w = data.axes(survey)[2]
        label = data.axis_label(survey, w)
        limits = style.limit([field], log=True)
        depths = data.read_numbers(survey, w)
        chosen = np.unique(np.linspace(0, len(depths) - 1, min(MOST, len(depths))).round().astype(int))
        left_out = f"{len(chosen)} of {len(depths)} slices" * (len(chosen) < len(depths))
        return figures.heat_maps(
            style,
            survey,
            [(f"{w} = {scales.number(depths[k])}", field.plane(k)) for k in chosen],
            limits,
            style.colour(figures.LOSS, field.metric),
            colour_label=field.scale_label(limits),
            lost=scales.invalid(field.values),
            notes=[field.label, f"{w}: {label}" * (label != w), left_out, *data.notes(survey)],
        )
