"""What interactive pictures share: heat maps, colour scales, texts, and the figure as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np
import xarray as xr

from lossatlas.errors import escape_unprintable
from lossatlas.views import data, scales
from lossatlas.views.looks import GREY, INK

__all__ = [
    "MARGIN",
    "Trace",
    "assemble",
    "escape_text",
    "lay_out_plane",
    "list_choices",
    "list_texts",
    "make_flag",
    "make_heat_map",
    "make_heights",
    "make_hover",
    "make_scale",
]

MARGIN = {"l": 50, "r": 10, "t": 10, "b": 45}  # pixels
Trace = dict[str, Any]


def list_choices(survey: xr.Dataset) -> list[data.Field]:
    """List the quantities that readers choose from; values that are not resolved are NaN and thus not shown."""
    return [replace(field, values=field.resolved) for field in data.quantities(survey)]


def make_flag(name: str) -> Trace:
    """Make the label of a network, an annotation with an arrow; its coordinates are left to the caller."""
    look = {"showarrow": True, "arrowhead": 6, "arrowsize": 0.7, "arrowwidth": 1.2, "ax": 0, "ay": -24}
    return look | {"text": escape_text(name), "font": {"color": INK}, "bgcolor": "rgba(255,255,255,0.75)"}


def make_heat_map(survey: xr.Dataset, field: data.Field, values: scales.Floats) -> Trace:
    """Make the heat map of values (V, U) of a field over the first two axes of a survey."""
    u, v = data.axes(survey)[:2]
    scale = make_scale(field)
    return {
        "x": data.read_numbers(survey, u),
        "y": data.read_numbers(survey, v),
        "zmin": scale.pop("cmin"),
        "zmax": scale.pop("cmax"),
        "hovertemplate": make_hover(u, v),
        "hoverongaps": True,
        **scale,
        **make_heights(field, values),
    }


def make_heights(field: data.Field, values: scales.Floats) -> Trace:
    """Make the part of a heat map that differs from slice to slice: colours and texts, each of shape (V, U)."""
    return {"type": "heatmap", "z": data.limits_of([field]).heights(values), "text": list_texts([(field, values)])}


def make_scale(field: data.Field, limits: scales.Limits | None = None) -> Trace:
    """Make the colour scale of a field, in decades for losses and other values with a logarithmic scale.

    Args:
        field: what the colours show.
        limits: the ends of the scale; by default those of the field alone.
    """
    limits = data.limits_of([field]) if limits is None else limits
    low, high = limits.low, limits.high
    bar: Trace = {
        "title": {"text": escape_text(field.label), "side": "top"},
        "orientation": "h",
        "y": 1,
        "yanchor": "bottom",
        "thickness": 10,
        "len": 0.9,
        "outlinewidth": 1,
        "outlinecolor": GREY,
    }
    if limits.log or limits.linear is not None:
        ticks = scales.log_ticks(low, high) if limits.log else scales.signed_ticks(low, high, limits.linear or 1.0)
        bar |= {"tickvals": limits.scaled(np.array(ticks)), "ticktext": [scales.number(tick) for tick in ticks]}
        low, high = limits.scaled(np.array([low, high]))
    is_accuracy = field.metric == scales.ACCURACY
    names = {scales.ACCURACY: "Viridis", data.RATIO: "Cividis"}
    name = "PuOr" if limits.signed else names.get(field.metric, "Magma")
    return {"cmin": low, "cmax": high, "colorbar": bar, "colorscale": name, "reversescale": is_accuracy}


def make_hover(u: str, v: str) -> str:
    """Make the template of the text under the pointer: the two coordinates, and the text of the cell."""
    return f"{escape_text(u)} %{{x:.3f}}, {escape_text(v)} %{{y:.3f}}<br>%{{text}}<extra></extra>"


def list_texts(fields: list[tuple[data.Field, scales.Floats]]) -> list[list[str]]:
    """Make the texts that cells show under the pointer, the measured values; shape (V, U)."""
    rows, columns = fields[0][1].shape
    named = [
        (escape_text(field.label), values, _say_ratio if field.metric == data.RATIO else scales.number)
        for field, values in fields
    ]
    return [
        ["<br>".join(f"{name} {say(values[i, j])}" for name, values, say in named) for j in range(columns)]
        for i in range(rows)
    ]


def _say_ratio(value: float) -> str:
    return "not resolved" if np.isnan(value) else scales.number(value)


def escape_text(name: str) -> str:
    """Escape a name so that plotly, which reads texts as HTML, shows it literally."""
    return escape(escape_unprintable(name))


def lay_out_plane(survey: xr.Dataset, over: Sequence[str] = ()) -> Trace:
    """Make the layout of a heat map: labelled axes with equal units.

    Args:
        survey: whose axes they are.
        over: the names of the two axes, across and up; by default the first two.
    """
    bare = {"showgrid": False, "zeroline": False, "constrain": "domain"}
    u, v = (escape_text(data.axis_label(survey, axis)) for axis in over or data.axes(survey)[:2])
    return {"xaxis": {"title": {"text": u}, **bare}, "yaxis": {"title": {"text": v}, **bare, "scaleanchor": "x"}}


def assemble(traces: list[Trace], layout: Trace, *, first_only: bool, frames: Sequence[Trace] = ()) -> str:
    """Make the JSON of a figure for a script element; of the traces of a menu only the first is visible."""
    import plotly.graph_objects as go

    for index, trace in enumerate(traces):
        trace.setdefault("visible", index == 0 or not first_only)
    common = {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": MARGIN,
        "autosize": True,
    }
    figure = go.Figure(data=traces, layout=common | layout, frames=list(frames))
    return str(figure.to_json()).replace("<", "\\u003c")
