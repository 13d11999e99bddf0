"""Surveys over two axes: a map with contour lines, and the surface in three dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from lossatlas.explorer.scene import NOTHING, Scene, View, draw_nothing, lay_out, list_flags, mark_here, pack, scale_of
from lossatlas.explorer.subject import SurveyNow
from lossatlas.explorer.thinning import MOST
from lossatlas.views import data
from lossatlas.views.scales import LOSS
from lossatlas.views.traces import Trace, escape_text

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
        columns, rows = view.choose(u), view.choose(v)
        us, vs = view.read(u)[columns], view.read(v)[rows]
        values = view.field.resolved[np.ix_(columns, rows)].T
        meta = {"x": u, "y": v, "thinned": max(len(view.read(u)), len(view.read(v))) > MOST}
        drawn = _Drawn(view, pack(us, exact=True), pack(vs, exact=True), values, view.limits.heights(values))
        return {"map": self._draw_map(drawn, meta), "surface": self._draw_surface(drawn, meta, us, vs)}

    def _draw_map(self, drawn: _Drawn, meta: Trace) -> Trace:
        view = drawn.view
        u, v = (escape_text(data.axis_label(view.survey, axis)) for axis in view.now.axes)
        low, high = view.limits.scaled(np.array([view.limits.low, view.limits.high]))
        lines = {
            "type": "contour",
            "x": drawn.us,
            "y": drawn.vs,
            "z": pack(drawn.heights),
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
            {
                "type": "heatmap",  # a point without a value is told of, and clicked on, like others
                "x": drawn.us,
                "y": drawn.vs,
                "z": pack(drawn.heights),
                "customdata": pack(drawn.values),
                "hovertemplate": drawn.hover,
                **scale_of(view, ("zmin", "zmax")),
            },
            *([lines] if np.isfinite(drawn.heights).any() else []),
            *_list_paths(view),
            list_flags(view, view.now.axes),
            mark_here(x=[view.at[meta["x"]]], y=[view.at[meta["y"]]]),
        ]
        bare = {"showgrid": False, "zeroline": False, "constrain": "domain"}
        layout: Trace = {
            "hoverdistance": SNAPPING,
            "xaxis": {"title": {"text": u}, **bare},
            "yaxis": {"title": {"text": v}, **bare, "scaleanchor": "x"},
        }
        if not np.isfinite(drawn.heights).any():  # of which plotly takes no notice when it chooses what to show
            for letter in "xy":
                low, high = view.now.boxes[meta[letter]]
                layout[f"{letter}axis"]["range"] = [low, high]
        return {"data": traces, "layout": lay_out(view, meta, **layout)}

    def _draw_surface(self, drawn: _Drawn, meta: Trace, us: np.ndarray, vs: np.ndarray) -> Trace:
        view = drawn.view
        if min(len(us), len(vs)) < 2:
            return draw_nothing(view, "one line of points is not a surface")
        if not np.isfinite(drawn.heights).any():
            return draw_nothing(view, NOTHING)
        surface = {
            "type": "surface",
            "x": drawn.us,
            "y": drawn.vs,
            "z": pack(drawn.heights),
            "customdata": pack(drawn.values),
            "hovertemplate": drawn.hover,
            "contours": {axis: {"highlight": False} for axis in "xyz"},
            "lighting": {"ambient": 0.75, "diffuse": 0.5, "specular": 0.05, "roughness": 0.9},
            **scale_of(view),
        }
        surface["showscale"] = False  # the map beside it has the scale
        here = {axis: view.at[axis] for axis in view.now.axes}
        column, row = (int(np.abs(at - here[axis]).argmin()) for at, axis in ((us, meta["x"]), (vs, meta["y"])))
        height = float(drawn.heights[row, column])
        mark = mark_here(
            "scatter3d",
            x=[here[meta["x"]]],
            y=[here[meta["y"]]],
            z=[height if np.isfinite(height) else None],
        )
        longer = max(float(np.ptp(us)), float(np.ptp(vs)))
        name = "loss" if view.field.metric == LOSS else escape_text(view.field.label)
        bare = {"showspikes": False, "gridcolor": "rgba(128,128,128,0.35)", "color": view.ink}
        scene = {
            "xaxis": {"title": {"text": escape_text(data.axis_label(view.survey, meta["x"]))}, **bare},
            "yaxis": {"title": {"text": escape_text(data.axis_label(view.survey, meta["y"]))}, **bare},
            "zaxis": {"title": {"text": f"log\u2081\u2080 {name}" if view.limits.log else name}, **bare},
            "aspectmode": "manual",
            "aspectratio": {"x": float(np.ptp(us)) / longer, "y": float(np.ptp(vs)) / longer, "z": HEIGHT},
            "camera": {"eye": {"x": -0.3, "y": -1.4, "z": 1.15}, "center": {"x": 0, "y": 0, "z": -0.14}},
            "dragmode": "orbit",
        }
        layout = lay_out(view, {**meta, "height": "z"}, scene=scene, margin={"l": 0, "r": 0, "t": 0, "b": 0})
        return {"data": [surface, mark], "layout": layout}


class _Drawn:
    """The points that both pictures show."""

    def __init__(self, view: View, us: Trace, vs: Trace, values: np.ndarray, heights: np.ndarray) -> None:
        self.view = view
        self.us, self.vs = us, vs
        self.values, self.heights = values, heights
        u, v = (escape_text(axis) for axis in view.now.axes)
        self.hover = (
            f"{u} %{{x:.4~g}}, {v} %{{y:.4~g}}<br>{escape_text(view.field.label)} %{{customdata:.4~g}}<extra></extra>"
        )


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
