"""The loss in the plane of a curve between networks, with the curve on it."""

from __future__ import annotations

import matplotlib.patheffects as effects
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.schema import Along
from lossatlas.views import data, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.contours import contour_maps
from lossatlas.views.kinds._curves import in_unit_of_loss, lies_under_curve
from lossatlas.views.kinds._splits import errors_of, maps_of
from lossatlas.views.networks import networks
from lossatlas.views.style import CONTOURED, Style

__all__ = ["CurvePlane"]

CURVE, STRAIGHT = "#ffffff", "#b8c4ff"


class CurvePlane(SurveyView):
    """Filled contours of the loss and of other quantities in its unit, a panel per split, with the curve."""

    needs = "two axes, a loss, and a curve on them"
    caption = (
        "Filled contours of the loss, and of further quantities in its unit, in the plane of the curve or nearest to "
        "it, with the curve (solid) and the straight line between its networks (dashed)."
    )
    rank = 9
    heeds = CONTOURED
    whole = True

    def applies(self, survey: xr.Dataset) -> bool:
        return lies_under_curve(survey)

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        return [field for splits in in_unit_of_loss(survey).values() for field in splits]

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        quantities = in_unit_of_loss(survey)
        fields = [field for splits in quantities.values() for field in splits]
        drawn = contour_maps(
            style,
            [maps_of(survey, splits, style) for splits in quantities.values()],
            filled=True,
            shared=True,
            notes=[_off(survey), errors_of(fields), networks(survey).outside, *data.notes(survey)],
        )
        curve = [survey[Along.coordinate(axis)].values for axis in data.axes(survey)]
        straight = networks(survey).at.T
        halo = [effects.withStroke(linewidth=3.2, foreground="#00000088")]
        for ax in drawn.axes[: len(fields)]:
            ax.plot(*straight, "--", color=STRAIGHT, linewidth=1.3, zorder=6, path_effects=halo)
            ax.plot(*curve, "-", color=CURVE, linewidth=1.8, zorder=7, path_effects=halo)
        return drawn


def _off(survey: xr.Dataset) -> str:
    """Make a note on the distance of the curve from the plane."""
    away = survey.get(Along.PLANE_DISTANCE)
    if away is None or not away.values.any():
        return "the curve lies in this plane; coordinates are Euclidean distances"
    rms = float(np.sqrt(np.square(away.values).mean()))
    corners = max(map(float, away.attrs.get("networks", [0.0])))
    return (
        f"the curve lies up to {scales.number(float(away.values.max()))} from this plane (root mean square "
        f"{scales.number(rms)}), the networks up to {scales.number(corners)}; coordinates are Euclidean distances"
    )
