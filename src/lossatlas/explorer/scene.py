"""What draws a survey on the page, and what its pictures share: packed arrays, scales, marks and layouts."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from plotly.colors import get_colorscale

from lossatlas.errors import BadInput
from lossatlas.explorer.subject import SurveyNow
from lossatlas.explorer.thinning import Window, choose_points
from lossatlas.registry import Registry
from lossatlas.views import data, scales
from lossatlas.views.networks import networks
from lossatlas.views.traces import Trace, escape_text, make_scale

__all__ = [
    "BLANK", "HERE", "NOTHING", "SCENES", "Scene", "Sheet", "View", "draw_nothing", "find_scene", "lay_out",
    "list_flags", "mark_here", "pack", "scale_of",
]  # fmt: skip

BLANK: Trace = {"data": [], "layout": {"xaxis": {"visible": False}, "yaxis": {"visible": False}}}
"""A picture of nothing: before the first one, and instead of one of something else."""
NOTHING = "no point has a finite value yet"
"""Why there is nothing to draw."""
HERE = "here"
"""The name of the trace that marks where networks are evaluated; the page moves it without asking the server."""


@dataclass(frozen=True, eq=False)
class View:
    """What a scene draws.

    Attributes:
        now: The survey.
        survey: One sample of it.
        field: The quantity.
        limits: Its scale.
        at: The coordinates that are marked, by axis.
        window: What is shown of it; None for all.
        ink: The colour of letters.
    """

    now: SurveyNow
    survey: xr.Dataset
    field: data.Field
    limits: scales.Limits
    at: Mapping[str, float]
    window: Window | None = None
    ink: str = "#20222b"

    def choose(self, axis: str, most: int | None = None) -> NDArray[np.intp]:
        """Choose the points along an axis that are drawn."""
        at = data.read_numbers(self.survey, axis)
        shown = None if self.window is None else self.window.get(axis)
        return choose_points(at, shown) if most is None else choose_points(at, shown, most)

    def read(self, axis: str) -> scales.Floats:
        """Read the coordinates along an axis."""
        return data.read_numbers(self.survey, axis)


class Scene(ABC):
    """Draws surveys of one kind.

    A scene has a few parts, each a picture of plotly's. The page learns from a picture's ``layout.meta`` which axis of
    the chart each of its axes ``x``, ``y`` and ``z`` is, so that a click on any picture is a place on the chart.
    """

    rank: int = 0
    """Of several scenes that apply, that of the lowest rank is drawn."""
    parts: ClassVar[Mapping[str, str]] = {}
    """The names of its pictures, and what each shows, in words."""

    @abstractmethod
    def applies(self, now: SurveyNow) -> bool:
        """Return whether the scene draws a survey of this kind."""

    @abstractmethod
    def draw(self, view: View) -> dict[str, Trace]:
        """Draw the pictures, as plotly's JSON, by part."""


SCENES: Registry[type[Scene]] = Registry("scene", "lossatlas.explorer.scenes")


def find_scene(now: SurveyNow) -> Scene:
    """Find the scene that draws a survey.

    Raises:
        BadInput: it has more axes than any scene draws, or none.
    """
    every = sorted((SCENES[name]() for name in SCENES), key=lambda scene: scene.rank)
    for scene in every:
        if scene.applies(now):
            return scene
    if not now.axes:
        raise BadInput("the survey has numbered networks alone, which lie along no axis; lossatlas view draws them")
    raise BadInput(f"the survey has {len(now.axes)} axes, and the explorer shows one to three; lossatlas view draws it")


def pack(values: NDArray[Any], exact: bool = False) -> Trace:
    """Write an array as plotly reads it, a sixth of the length of its digits, and NaN is allowed.

    Args:
        values: of one dimension or two.
        exact: keep 64 bits instead of 32, for coordinates that a click sends back.
    """
    kind = "f8" if exact else "f4"
    packed = np.ascontiguousarray(values, dtype=f"<{kind}")
    found: Trace = {"dtype": kind, "bdata": base64.b64encode(packed.tobytes()).decode()}
    return found if packed.ndim == 1 else {**found, "shape": ", ".join(map(str, packed.shape))}


class Sheet:
    """The points of a survey over two of its axes that are drawn, and the heat map of them.

    Args:
        view: what is drawn.
        across: the axis to the right.
        up: the axis upwards, which comes after that one.
        at: by axis the places of the points along all axes; of axes that are neither of the two one place.
    """

    def __init__(self, view: View, across: str, up: str, at: Mapping[str, NDArray[np.intp]]) -> None:
        axes = view.now.axes
        values = view.field.resolved[np.ix_(*(at[axis] for axis in axes))]
        beside = tuple(place for place, axis in enumerate(axes) if axis not in (across, up))
        self.view, self.across, self.up = view, across, up
        self.columns, self.rows = view.read(across)[at[across]], view.read(up)[at[up]]
        self.values = values.squeeze(beside).T
        """The values (rows, columns), in the units of the quantity."""
        self.heights = view.limits.heights(self.values)
        """Their positions on the scale, NaN where they are not finite."""

    @property
    def is_blank(self) -> bool:
        """Whether no point has a finite value."""
        return not np.isfinite(self.heights).any()

    @cached_property
    def points(self) -> Trace:
        """What all traces of these points share: where they are, their heights, and what is told of them."""
        across, up = escape_text(self.across), escape_text(self.up)
        told = f"{escape_text(self.view.field.label)} %{{customdata:.4~g}}"
        return {
            "x": pack(self.columns, exact=True),
            "y": pack(self.rows, exact=True),
            "z": pack(self.heights),
            "customdata": pack(self.values),
            "hovertemplate": f"{across} %{{x:.4~g}}, {up} %{{y:.4~g}}<br>{told}<extra></extra>",
        }

    def draw_heat_map(self) -> Trace:
        """Draw the heat map; a point without a value is told of, and clicked on, like others."""
        return {"type": "heatmap", **self.points, **scale_of(self.view, ("zmin", "zmax"))}


def scale_of(view: View, ends: Sequence[str] = ("cmin", "cmax")) -> Trace:
    """Make the scale of colours of what is shown, with the names that a kind of trace has for its ends."""
    scale = make_scale(view.field, view.limits)
    low, high = scale.pop("cmin"), scale.pop("cmax")
    bar = {**scale["colorbar"], "orientation": "v", "y": 0.5, "yanchor": "middle", "len": 1, "x": 1, "xpad": 6}
    bar |= {"tickfont": {"color": view.ink}, "title": {**bar["title"], "side": "right", "font": {"color": view.ink}}}
    # Only plotly's Python side knows most colour scales by name.
    return {**scale, "colorbar": bar, "colorscale": get_colorscale(scale["colorscale"]), ends[0]: low, ends[1]: high}


def mark_here(kind: str = "scatter", **where: Any) -> Trace:
    """Make the mark of the place where networks are evaluated."""
    marker = {"size": 13, "symbol": "circle-open", "color": "#ffffff", "line": {"width": 3, "color": "#ffffff"}}
    if kind == "scatter3d":
        marker = {"size": 6, "color": "#17ab95", "line": {"width": 2, "color": "#ffffff"}}
    return {
        "type": kind,
        "mode": "markers",
        "name": HERE,
        "hoverinfo": "skip",
        "showlegend": False,
        "marker": marker,
        **where,
    }


def list_flags(view: View, axes: Sequence[str]) -> Trace:
    """Make the marks of the networks that the survey names, over some of its axes."""
    there = networks(view.survey)
    places = [view.now.axes.index(axis) for axis in axes]
    letters = dict(zip("xyz", (there.at[:, k].tolist() for k in places), strict=False))
    return {
        "type": "scatter" if len(axes) < 3 else "scatter3d",
        "mode": "markers+text",
        "name": "networks",
        "showlegend": False,
        "hoverinfo": "text",
        "text": [escape_text(name) for name in there.names],
        "textposition": "top center",
        "textfont": {"color": "#ffffff", "size": 11, "shadow": "0 0 3px #000000, 0 0 3px #000000"},
        "marker": {"size": 7 if len(axes) < 3 else 4, "color": "#ffffff", "line": {"width": 1.5, "color": "#20222b"}},
        **letters,
    }


def draw_nothing(view: View, words: str) -> Trace:
    """Make a picture that says why there is nothing in it: plotly fails at surfaces without a finite point.

    Args:
        view: what is not drawn.
        words: why, in a few words.
    """
    bare = {"visible": False}
    said = {"text": words, "x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False}
    return {"data": [], "layout": lay_out(view, {}, xaxis=bare, yaxis=bare, annotations=[said])}


def lay_out(view: View, meta: Trace, **layout: Any) -> Trace:
    """Make the layout that all pictures share.

    Args:
        view: what is drawn.
        meta: which axis of the chart the axes of the picture are, and what else the page is to know of it.
        layout: what is particular to the picture.
    """
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": view.ink, "family": "system-ui, sans-serif", "size": 12},
        "margin": {"l": 52, "r": 12, "t": 34, "b": 46},  # the buttons stand above what is clicked on
        "autosize": True,
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": "pan",
        "uirevision": "stay",  # zoom and camera stay where they are when the numbers change
        "meta": meta,
        **layout,
    }
