"""Surveys over two axes: a map with contour lines, and the surface in three dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from lossatlas.explorer.scene import (
    NOTHING,
    Scene,
    Sheet,
    View,
    draw_nothing,
    lay_out,
    list_flags,
    mark_here,
    scale_of,
)
from lossatlas.explorer.subject import SurveyNow
from lossatlas.explorer.thinning import MOST
from lossatlas.views import data
from lossatlas.views.scales import LOSS
from lossatlas.views.traces import Trace, escape_text, lay_out_plane

__all__ = ["Plane"]

LINES = 14
"""About as many contour lines are drawn between the ends of the scale."""
SNAPPING = 5
"""Within so many pixels of a marked network a click means the network; plotly's own 20 hide the points around it."""
HEIGHT = 0.6
"""The height of the surface as a fraction of its longer side."""


class Plane(Scene):
    """A map and a surface of the same points."""

    rank = 10
    parts: ClassVar[Mapping[str, str]] = {
        "map": "a map with contour lines",
        "surface": "the same as a surface that can be turned",
    }

    def applies(self, now: SurveyNow) -> bool:
        return len(now.axes) == 2

    def draw(self, view: View) -> dict[str, Trace]:
        u, v = view.now.axes
        meta = {"x": u, "y": v, "thinned": max(len(view.read(u)), len(view.read(v))) > MOST}
        sheet = Sheet(view, u, v, {axis: view.choose(axis) for axis in (u, v)})
        return {"map": self._draw_map(sheet, meta), "surface": self._draw_surface(sheet, meta)}

    def _draw_map(self, sheet: Sheet, meta: Trace) -> Trace:
        view = sheet.view
        low, high = view.limits.scaled(np.array([view.limits.low, view.limits.high]))
        lines = {
            "type": "contour",
            **{letter: sheet.points[letter] for letter in "xyz"},
            "hoverinfo": "skip",
            "showscale": False,
            "line": {"color": "rgba(255,255,255,0.55)", "width": 0.8, "smoothing": 0.6},
            "contours": {
                "coloring": "none",
                "start": float(low),
                "end": float(high),
                "size": float(high - low) / LINES or 1.0,
            },
        }
        traces = [
            sheet.draw_heat_map(),
            *([] if sheet.is_blank else [lines]),
            *_list_paths(view),
            list_flags(view, view.now.axes),
            mark_here(x=[view.at[sheet.across]], y=[view.at[sheet.up]]),
        ]
        layout = {**lay_out_plane(view.survey), "hoverdistance": SNAPPING}
        if sheet.is_blank:  # of which plotly takes no notice when it chooses what to show
            for letter in "xy":
                layout[f"{letter}axis"]["range"] = list(view.now.boxes[meta[letter]])
        return {"data": traces, "layout": lay_out(view, meta, **layout)}

    def _draw_surface(self, sheet: Sheet, meta: Trace) -> Trace:
        view, us, vs = sheet.view, sheet.columns, sheet.rows
        if min(len(us), len(vs)) < 2:
            return draw_nothing(view, "one line of points is not a surface")
        if sheet.is_blank:
            return draw_nothing(view, NOTHING)
        surface = {
            "type": "surface",
            **sheet.points,
            "contours": {axis: {"highlight": False} for axis in "xyz"},
            "lighting": {"ambient": 0.75, "diffuse": 0.5, "specular": 0.05, "roughness": 0.9},
            **scale_of(view),
            "showscale": False,  # the map beside it has the scale
        }
        u, v = view.at[sheet.across], view.at[sheet.up]
        height = float(sheet.heights[int(np.abs(vs - v).argmin()), int(np.abs(us - u).argmin())])
        mark = mark_here("scatter3d", x=[u], y=[v], z=[height if np.isfinite(height) else None])
        longer = max(float(np.ptp(us)), float(np.ptp(vs)))
        name = "loss" if view.field.metric == LOSS else escape_text(view.field.label)
        bare = {"showspikes": False, "gridcolor": "rgba(128,128,128,0.35)", "color": view.ink}
        scene = {
            "xaxis": {"title": {"text": escape_text(data.axis_label(view.survey, sheet.across))}, **bare},
            "yaxis": {"title": {"text": escape_text(data.axis_label(view.survey, sheet.up))}, **bare},
            "zaxis": {"title": {"text": f"log\u2081\u2080 {name}" if view.limits.log else name}, **bare},
            "aspectmode": "manual",
            "aspectratio": {"x": float(np.ptp(us)) / longer, "y": float(np.ptp(vs)) / longer, "z": HEIGHT},
            "camera": {"eye": {"x": -0.3, "y": -1.4, "z": 1.15}, "center": {"x": 0, "y": 0, "z": -0.14}},
            "dragmode": "orbit",
        }
        layout = lay_out(view, {**meta, "height": "z"}, scene=scene, margin={"l": 0, "r": 0, "t": 0, "b": 0})
        return {"data": [surface, mark], "layout": layout}


def _list_paths(view: View) -> list[Trace]:
    """Make the line of a training's trajectory on the map; nothing where there is none."""
    path = view.now.path
    if path is None:
        return []
    said = [view.now.say_snapshot(k) for k in range(len(path))]
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "trajectory",
            "x": path[:, 0].tolist(),
            "y": path[:, 1].tolist(),
            "text": said,
            "hoverinfo": "text",
            "line": {"color": "#17ab95", "width": 2},
            "marker": {"size": 5, "color": "#17ab95", "line": {"width": 1, "color": "#ffffff"}},
        }
    ]
