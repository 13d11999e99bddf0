"""The surface of the plane of a curve, with the curve on it."""

from __future__ import annotations

import matplotlib.patheffects as effects
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.schema import Along
from lossatlas.views import data, figures
from lossatlas.views.base import View
from lossatlas.views.contours import contour_maps
from lossatlas.views.kinds._splits import has_points_between, panel_of
from lossatlas.views.levels import contour_levels
from lossatlas.views.networks import networks

__all__ = ["CurvePlane"]

CURVE, STRAIGHT = "#ffffff", "#b8c4ff"


class CurvePlane(View):
    """Filled contours of the loss, one panel per split; the curve, and the straight lines between its networks."""

    needs = "two axes, a loss, and a curve on them"
    caption = "The loss in the plane of the curve (solid line) and of the straight line between its ends (dashed)."
    rank = 9

    def applies(self, survey: xr.Dataset) -> bool:
        axes = data.axes(survey)
        there = len(axes) == 2 and all(Along.coordinate(axis) in survey for axis in axes)
        return there and bool(data.fields(survey, data.LOSS)) and has_points_between(survey)

    def draw(self, survey: xr.Dataset, title: str) -> Figure:
        splits = data.fields(survey, data.LOSS)
        everything = np.stack([field.values for field in splits])
        limits = data.limits(everything, log=True)
        drawn = contour_maps(
            [panel_of(survey, field, field.label) for field in splits],
            limits,
            contour_levels(limits),
            figures.LOSS,
            filled=True,
            shared=True,
            colour_label=splits[0].scale_label(limits),
            invalid=data.invalid(everything),
            title=title,
            notes=[_off(survey), networks(survey).outside, *data.notes(survey)],
        )
        curve = [survey[Along.coordinate(axis)].values for axis in data.axes(survey)]
        straight = networks(survey).at.T
        halo = [effects.withStroke(linewidth=3.2, foreground="#00000088")]
        for ax in drawn.axes[: len(splits)]:
            ax.set_autoscale_on(False)
            ax.plot(*straight, "--", color=STRAIGHT, linewidth=1.3, zorder=6, path_effects=halo)
            ax.plot(*curve, "-", color=CURVE, linewidth=1.8, zorder=7, path_effects=halo)
        return drawn


def _off(survey: xr.Dataset) -> str:
    """A sentence on how far the curve is from the plane; empty where it lies in it."""
    away = survey.get(Along.PLANE_DISTANCE)
    if away is None or not away.values.any():
        return "the curve lies in this plane; coordinates are Euclidean distances"
    rms = float(np.sqrt(np.square(away.values).mean()))
    corners = max(map(float, away.attrs.get("networks", [0.0])))
    return (
        f"the curve is up to {data.number(float(away.values.max()))} from this plane (root mean square "
        f"{data.number(rms)}), the networks up to {data.number(corners)}; coordinates are Euclidean distances"
    )
