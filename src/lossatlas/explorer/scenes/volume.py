"""Surveys over three axes: surfaces of equal value, and three cuts through the place where networks are evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
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
    pack,
    scale_of,
)
from lossatlas.explorer.subject import SurveyNow
from lossatlas.explorer.thinning import MOST
from lossatlas.views import data
from lossatlas.views.traces import Trace, escape_text, lay_out_plane

__all__ = ["Volume"]

MOST_ACROSS = round(MOST ** (2 / 3))
"""The most points along each of three axes, so that no more are drawn than of a plane."""
SURFACES = 5
"""How many surfaces of equal value are drawn."""


class Volume(Scene):
    """Surfaces of equal value beside three maps, each through the chosen point."""

    rank = 30
    parts: ClassVar[Mapping[str, str]] = {
        "surfaces": "surfaces of equal value, which can be turned",
        "first": "a cut along the first two axes",
        "second": "a cut along the first and the third axis",
        "third": "a cut along the last two axes",
    }

    def applies(self, now: SurveyNow) -> bool:
        return len(now.axes) == 3

    def draw(self, view: View) -> dict[str, Trace]:
        found = {"surfaces": self._draw_surfaces(view)}
        cuts = [name for name in self.parts if name != "surfaces"]
        for name, axes in zip(cuts, combinations(view.now.axes, 2), strict=True):
            found[name] = self._draw_cut(view, *axes)
        return found

    def _draw_surfaces(self, view: View) -> Trace:
        axes = view.now.axes
        chosen = [view.choose(axis, MOST_ACROSS) for axis in axes]
        coords = [view.read(axis)[at] for axis, at in zip(axes, chosen, strict=True)]
        heights = view.limits.heights(view.field.resolved[np.ix_(*chosen)])
        if not np.isfinite(heights).any():
            return draw_nothing(view, NOTHING)
        places = np.meshgrid(*coords, indexing="ij")
        low, high = view.limits.scaled(np.array([view.limits.low, view.limits.high]))
        margin = (high - low) / (SURFACES + 1)
        scale = scale_of(view)
        traces = [
            {
                "type": "isosurface",
                **{letter: pack(place.ravel(), exact=True) for letter, place in zip("xyz", places, strict=True)},
                "value": pack(heights.ravel()),
                "isomin": float(low + margin),
                "isomax": float(high - margin),
                "surface": {"count": SURFACES},
                "opacity": 0.35,
                "caps": {axis: {"show": False} for axis in "xyz"},
                "hoverinfo": "x+y+z",
                **scale,
            },
            list_flags(view, axes),
            mark_here("scatter3d", **{letter: [view.at[axis]] for letter, axis in zip("xyz", axes, strict=True)}),
        ]
        bare = {"showspikes": False, "gridcolor": "rgba(128,128,128,0.35)", "color": view.ink}
        scene: Trace = {
            f"{letter}axis": {"title": {"text": escape_text(data.axis_label(view.survey, axis))}, **bare}
            for letter, axis in zip("xyz", axes, strict=True)
        }
        scene |= {"aspectmode": "data", "dragmode": "orbit"}
        meta = dict(zip("xyz", axes, strict=True))
        layout = lay_out(view, meta, scene=scene, margin={"l": 0, "r": 0, "t": 0, "b": 0})
        return {"data": traces, "layout": layout}

    def _draw_cut(self, view: View, across: str, up: str) -> Trace:
        axes = view.now.axes
        (depth,) = (axis for axis in axes if axis not in (across, up))
        nearest = view.now.find_nearest({**view.at})[depth]
        at = {across: view.choose(across), up: view.choose(up), depth: np.array([nearest[0]])}
        heat_map = {**Sheet(view, across, up, at).draw_heat_map(), "showscale": False}
        layout = {
            **lay_out_plane(view.survey, (across, up)),
            "title": {"text": f"{escape_text(depth)} = {nearest[1]:.4g}", "font": {"size": 12}, "y": 0.97},
            "margin": {"l": 48, "r": 8, "t": 30, "b": 42},
        }
        meta = {"x": across, "y": up, "follows": depth, "thinned": max(len(view.read(a)) for a in axes) > MOST}
        mark = mark_here(x=[view.at[across]], y=[view.at[up]])
        return {"data": [heat_map, mark], "layout": lay_out(view, meta, **layout)}
