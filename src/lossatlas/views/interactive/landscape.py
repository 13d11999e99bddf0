"""The loss over a plane as a surface that readers can turn."""

from __future__ import annotations

import numpy as np
import xarray as xr

from lossatlas.views import data, scales
from lossatlas.views.base import InteractiveView
from lossatlas.views.networks import networks
from lossatlas.views.plot import Plot
from lossatlas.views.traces import (
    Trace,
    assemble,
    escape_text,
    list_choices,
    list_texts,
    make_flag,
    make_hover,
    make_scale,
)

__all__ = ["Landscape"]

ASPECT_HEIGHT = 0.55  # the height of the box as a fraction of its longer side


class Landscape(InteractiveView):
    """A surface with a loss as height (of the same split, or the preferred one) and the chosen variable as colour."""

    needs = "two axes with at least two points each, and a loss"
    caption = "The loss over the two axes as a surface that can be turned; the menu chooses what the colour shows."
    rank = 10

    def applies(self, survey: xr.Dataset) -> bool:
        order = data.axes(survey)
        if len(order) != 2 or min(survey.sizes[axis] for axis in order) < 2:
            return False
        return bool(data.fields(survey, scales.LOSS))

    def plot(self, survey: xr.Dataset) -> Plot:
        u, v = data.axes(survey)
        us, vs = (data.read_numbers(survey, axis) for axis in (u, v))
        choices = list_choices(survey)
        losses = data.fields(survey, scales.LOSS)
        traces = []
        for field in choices:
            ground = field if field.metric == scales.LOSS else _choose_ground(field, losses)
            height = scales.limits(ground.values, log=True)
            named = [ground] if ground is field else [ground, field]
            colours = data.limits_of([field]).heights(field.plane())
            # Plotly gives a colour that is not a number the lowest one; a hole says what is not known.
            heights = np.where(np.isfinite(colours), height.heights(ground.plane()), np.nan)
            traces.append(
                {
                    "type": "surface",
                    "x": us,
                    "y": vs,
                    "z": heights,
                    "text": list_texts([(one, one.plane()) for one in named]),
                    "hovertemplate": make_hover(u, v),
                    "contours": {axis: {"highlight": False} for axis in "xyz"},
                    "lighting": {"ambient": 0.75, "diffuse": 0.5, "specular": 0.05, "roughness": 0.9},
                    "surfacecolor": colours,
                    **make_scale(field),
                }
            )
        height = scales.limits(data.preferred(losses).values, log=True)
        longer = max(np.ptp(us), np.ptp(vs))
        scene = {
            "xaxis": {"title": {"text": escape_text(data.axis_label(survey, u))}},
            "yaxis": {"title": {"text": escape_text(data.axis_label(survey, v))}},
            "zaxis": {"title": {"text": "log\u2081\u2080 loss" if height.log else "loss"}},
            "aspectmode": "manual",
            "aspectratio": {"x": np.ptp(us) / longer, "y": np.ptp(vs) / longer, "z": ASPECT_HEIGHT},
            "camera": {"eye": {"x": -0.3, "y": -1.3, "z": 1.15}, "center": {"x": 0, "y": 0, "z": -0.14}},
            "annotations": _list_flags(survey, data.preferred(losses)),
        }
        scale = " on a logarithmic scale" * height.log
        hint = f"Height is the loss{scale}. The menu chooses what the colour shows."
        json = assemble(traces, {"scene": scene}, first_only=True)
        return Plot(json, [field.label for field in choices], hint, "turn")


def _choose_ground(field: data.Field, losses: list[data.Field]) -> data.Field:
    """Choose the loss that is the height for another variable: that of the same split if there is one."""
    return next((loss for loss in losses if loss.split == field.split), data.preferred(losses))


def _list_flags(survey: xr.Dataset, ground: data.Field) -> list[Trace]:
    """Make a label for each network at the height of the nearest point, unless the loss there is not finite."""
    u, v = data.axes(survey)
    there = networks(survey)
    heights = scales.limits(ground.values, log=True).heights(ground.values)
    found = []
    for name, (x, y) in zip(there.names, there.at, strict=True):
        nearest = tuple(int(np.abs(data.read_numbers(survey, axis) - at).argmin()) for axis, at in ((u, x), (v, y)))
        if np.isfinite(heights[nearest]):
            found.append(make_flag(name) | {"x": float(x), "y": float(y), "z": float(heights[nearest])})
    return found
