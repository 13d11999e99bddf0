"""Surveys along one axis, slices and curves: all quantities of the chosen metric, split by split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from lossatlas.explorer.scene import HERE, Scene, View, lay_out, pack
from lossatlas.explorer.subject import SurveyNow
from lossatlas.explorer.thinning import MOST
from lossatlas.views import data, scales
from lossatlas.views.looks import GREY, colour
from lossatlas.views.networks import networks
from lossatlas.views.traces import Trace, escape_text

__all__ = ["Line"]

MOST_ALONG = MOST * 10
"""The most points of a line: as many as fit the pixels of a screen."""


class Line(Scene):
    """A line for each split, with bands of two standard errors where these are known."""

    rank = 20
    parts: ClassVar[Mapping[str, str]] = {"line": "the quantity along the axis, split by split"}

    def applies(self, now: SurveyNow) -> bool:
        return len(now.axes) == 1

    def draw(self, view: View) -> dict[str, Trace]:
        (axis,) = view.now.axes
        chosen = view.choose(axis, MOST_ALONG)
        at = view.read(axis)[chosen]
        alike = [field for field in data.quantities(view.survey) if field.metric == view.field.metric] or [view.field]
        hover = f"{escape_text(axis)} %{{x:.4~g}}<br>%{{fullData.name}} %{{y:.4~g}}<extra></extra>"
        lowest, highest = np.inf, -np.inf
        traces: list[Trace] = []
        for index, field in enumerate(alike):
            values = view.limits.shown(field.resolved[chosen])
            finite = values[np.isfinite(values)]
            if finite.size:
                lowest, highest = min(lowest, float(finite.min())), max(highest, float(finite.max()))
            ink = colour(index + 1)
            band = field.band()
            if band is not None:
                traces += _draw_band(pack(at, exact=True), band[0][chosen], band[1][chosen], ink)
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": escape_text(field.label),
                    "x": pack(at, exact=True),
                    "y": pack(np.where(np.isfinite(values), values, np.nan)),
                    "line": {"color": ink, "width": 2},
                    "marker": {"size": 5, "color": ink},
                    "showlegend": True,
                    "hovertemplate": hover,
                }
            )
        if not np.isfinite(lowest):
            lowest, highest = 0.0, 1.0
        here = view.at[axis]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": HERE,
                "x": [here, here],
                "y": [lowest, highest],
                "line": {"color": GREY, "width": 2, "dash": "dot"},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
        there = networks(view.survey)
        name = view.field.scale_label(view.limits)
        upright: Trace = {
            "type": "line",
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": GREY, "width": 1, "dash": "dash"},
        }
        layout: Trace = {
            "xaxis": {"title": {"text": escape_text(data.axis_label(view.survey, axis))}, "zeroline": False},
            "yaxis": {"title": {"text": escape_text(name)}, "type": "log" if view.limits.log else "linear"},
            "legend": {"orientation": "h", "y": 1.12, "x": 0},
            "showlegend": True,
            "hovermode": "x",  # a click is taken wherever it is, and means the nearest point
            "margin": {"l": 60, "r": 12, "t": 44, "b": 46},
            "shapes": [upright | {"x0": float(x), "x1": float(x)} for (x,) in there.at],
            "annotations": [
                {
                    "x": float(x),
                    "y": 1,
                    "yref": "paper",
                    "yanchor": "top",
                    "showarrow": False,
                    "text": escape_text(name),
                }
                for name, (x,) in zip(there.names, there.at, strict=True)
            ],
        }
        if view.limits.log:
            ticks = scales.log_ticks(view.limits.low, view.limits.high)
            layout["yaxis"] |= {"tickvals": ticks, "ticktext": [scales.number(tick) for tick in ticks]}
        grid = {"gridcolor": "rgba(128,128,128,0.25)"}
        layout["xaxis"] |= grid
        layout["yaxis"] |= grid
        meta = {"x": axis, "upright": True, "thinned": len(view.read(axis)) > MOST_ALONG}
        return {"line": {"data": traces, "layout": lay_out(view, meta, **layout)}}


def _draw_band(at: Trace, low: scales.Floats, high: scales.Floats, ink: str) -> list[Trace]:
    """Draw what lies between two lines."""
    edge = {
        "type": "scatter",
        "mode": "lines",
        "x": at,
        "line": {"width": 0, "color": ink},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return [edge | {"y": pack(low)}, edge | {"y": pack(high), "fill": "tonexty", "fillcolor": f"{ink}33"}]
