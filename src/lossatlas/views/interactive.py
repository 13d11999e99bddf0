"""The interactive picture of a report: a plotly figure, its controls, and what it shows in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import xarray as xr

from lossatlas.errors import escape_unprintable
from lossatlas.views import data, scales
from lossatlas.views.looks import GREY, INK
from lossatlas.views.networks import networks

__all__ = ["Interactive", "Strand", "interactive"]

ASPECT_HEIGHT = 0.55  # of the longer side of the box
MARGIN = {"l": 50, "r": 10, "t": 10, "b": 45}  # pixels
COLOURS = ("#8c6bb1", "#d6604d", "#2b8cbe", "#b8860b", "#2e9e6b", "#c2559b", "#7f8c1b", "#777b86")
"""Colours of lines that stand out from a white page and from a dark one."""
Trace = dict[str, Any]


@dataclass(frozen=True)
class Interactive:
    """A plotly figure with one trace per choice of its menu, of which the first is visible.

    Attributes:
        json: the figure as plotly's JSON; ``<`` is escaped, so that it can stand inside a script element.
        choices: the menu's entries, one per trace; empty where all traces are shown together.
        hint: one or two sentences on how to read it.
        motion: what buttons and arrow keys do: ``turn`` a landscape, ``move`` over a plane, or move ``along`` a line.
        alternative: what it shows, a sentence per quantity, for those who cannot see it.
        strands: the lines that can be shown and hidden; empty where there is a menu.
        axis: the axis that a slider moves along; empty where there is one slice only.
        depths: coordinates along that axis as they are shown, one per frame of the figure.
        depth: the index of the frame that is shown at first.
    """

    json: str
    choices: list[str]
    hint: str
    motion: str
    alternative: str
    strands: Sequence[Strand] = ()
    axis: str = ""
    depths: Sequence[str] = ()
    depth: int = 0


@dataclass(frozen=True)
class Strand:
    """One line of a picture of lines.

    Attributes:
        label: what it is called, plain text.
        colour: in hexadecimal digits, ``#8c6bb1``.
        dash: ``solid`` or ``dash``.
        shown: whether it is visible at first.
    """

    label: str
    colour: str
    dash: str
    shown: bool


def interactive(survey: xr.Dataset) -> Interactive | None:
    """The interactive picture for the survey's number of axes; None if there is none for it."""
    survey = data.take_first_sample(survey)
    make = {1: _lines, 2: _plane, 3: _slices}.get(len(data.axes(survey)))
    return make(survey) if make else None


def _plane(survey: xr.Dataset) -> Interactive:
    flat = min(survey.sizes[axis] for axis in data.axes(survey)) < 2 or not data.fields(survey, scales.LOSS)
    return (_map if flat else _surface)(survey)


def _surface(survey: xr.Dataset) -> Interactive:
    """Heights are a loss (its own split's, or the preferred one), colours the chosen variable."""
    u, v = data.axes(survey)
    us, vs = (data.read_numbers(survey, axis) for axis in (u, v))
    choices = data.quantities(survey)
    losses = data.fields(survey, scales.LOSS)
    traces = []
    for field in choices:
        ground = field if field.metric == scales.LOSS else _ground(field, losses)
        height = scales.limits(ground.values, log=True)
        told = [ground] if ground is field else [ground, field]
        traces.append(
            {
                "type": "surface",
                "x": us,
                "y": vs,
                "z": height.heights(ground.plane()),
                "text": _told([(one, one.plane()) for one in told]),
                "hovertemplate": _hover(u, v),
                "contours": {axis: {"highlight": False} for axis in "xyz"},
                "lighting": {"ambient": 0.75, "diffuse": 0.5, "specular": 0.05, "roughness": 0.9},
                "surfacecolor": data.limits_of([field]).heights(field.plane()),
                **_scale(field),
            }
        )
    height = scales.limits(data.preferred(losses).values, log=True)
    longer = max(np.ptp(us), np.ptp(vs))
    scene = {
        "xaxis": {"title": {"text": _plain(u)}},
        "yaxis": {"title": {"text": _plain(v)}},
        "zaxis": {"title": {"text": "log\u2081\u2080 loss" if height.log else "loss"}},
        "aspectmode": "manual",
        "aspectratio": {"x": np.ptp(us) / longer, "y": np.ptp(vs) / longer, "z": ASPECT_HEIGHT},
        "camera": {"eye": {"x": -0.3, "y": -1.3, "z": 1.15}, "center": {"x": 0, "y": 0, "z": -0.14}},
        "annotations": _flags(survey, data.preferred(losses)),
    }
    scale = " on a logarithmic scale" * height.log
    hint = f"Height is the loss{scale}. The menu chooses what the colour shows."
    json = _assembled(traces, {"scene": scene}, first_only=True)
    return Interactive(json, [field.label for field in choices], hint, "turn", _described(survey, choices))


def _map(survey: xr.Dataset) -> Interactive:
    axes, choices = data.axes(survey), data.quantities(survey)
    traces = [_heat_map(survey, field, field.plane()) for field in choices]
    there = networks(survey)
    flags = [_flag(name) | {"x": float(u), "y": float(v)} for name, (u, v) in zip(there.names, there.at, strict=True)]
    layout = _plane_layout(axes) | {"annotations": flags}
    hint = "The menu chooses what the colour shows." * (len(choices) > 1)
    json = _assembled(traces, layout, first_only=True)
    return Interactive(json, [field.label for field in choices], hint, "move", _described(survey, choices))


def _slices(survey: xr.Dataset) -> Interactive:
    """One heat map per variable; a slider moves all of them along the third axis."""
    axes, choices = data.axes(survey), data.quantities(survey)
    depths = data.read_numbers(survey, axes[2])
    middle = len(depths) // 2
    traces = [_heat_map(survey, field, field.plane(middle)) for field in choices]
    frames = [
        {"name": str(k), "data": [_heights(field, field.plane(k)) for field in choices]} for k in range(len(depths))
    ]
    hint = f"One slice of the volume. The slider moves along {axes[2]}, and the menu chooses what the colour shows."
    return Interactive(
        json=_assembled(traces, _plane_layout(axes), first_only=True, frames=frames),
        choices=[field.label for field in choices],
        hint=hint,
        motion="move",
        alternative=_described(survey, choices),
        axis=axes[2],
        depths=[scales.number(float(depth)) for depth in depths],
        depth=middle,
    )


def _lines(survey: xr.Dataset) -> Interactive:
    """All losses on the left axis, everything else on the right one."""
    (axis,) = data.axes(survey)
    at = data.read_numbers(survey, axis)
    losses = data.fields(survey, scales.LOSS)
    limits = data.limits_of(losses, log=True) if losses else None
    traces: list[Trace] = []
    strands: list[Strand] = []
    alone = not losses and not data.fields(survey, scales.ACCURACY)
    for index, field in enumerate(data.quantities(survey)):
        is_loss = limits is not None and field.metric == scales.LOSS
        # Gradient norms and the like would flatten the accuracies with which they share an axis.
        visible = field.metric in (scales.LOSS, scales.ACCURACY) or alone
        strand = Strand(field.label, COLOURS[index % len(COLOURS)], "solid" if is_loss else "dash", visible)
        strands.append(strand)
        shown = limits.shown(field.values) if limits and is_loss else field.values
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": _plain(field.label),
                "x": at,
                "y": np.where(np.isfinite(shown), shown, np.nan),
                "yaxis": "y" if is_loss or not losses else "y2",
                "line": {"dash": strand.dash, "color": strand.colour},
                "marker": {"size": 4, "color": strand.colour},
                "visible": visible or "legendonly",
            }
        )
    left: Trace = {"title": {"text": _plain(losses[0].metric) if losses else ""}, "automargin": True}
    if limits and limits.log:
        ticks = scales.log_ticks(limits.low, limits.high)
        left |= {"type": "log", "tickvals": ticks, "ticktext": [scales.number(tick) for tick in ticks]}
    # Without a tick mode of its own an overlaying axis takes its ticks from where the other axis has them.
    metrics = {field.metric for field in data.quantities(survey)} - {scales.LOSS}
    title = _plain(metrics.pop().replace("_", " ")) if losses and len(metrics) == 1 else ""
    right: Trace = {
        "title": {"text": title},
        "overlaying": "y",
        "side": "right",
        "showgrid": False,
        "zeroline": False,
        "tickmode": "auto",
    }
    layout = {
        "xaxis": {"title": {"text": _plain(axis)}, "automargin": True},
        "yaxis": left,
        "yaxis2": right | {"automargin": True},
        "showlegend": False,  # the page has boxes to tick
    }
    there = networks(survey)
    across = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"color": GREY, "width": 1, "dash": "dash"}}
    layout["shapes"] = [across | {"x0": float(u), "x1": float(u)} for (u,) in there.at]
    layout["annotations"] = [
        {"x": float(u), "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False, "text": _plain(name)}
        for name, (u,) in zip(there.names, there.at, strict=True)
    ]
    layout["margin"] = MARGIN | {"t": 46 if len(there) else MARGIN["t"]}
    beside = len({trace["yaxis"] for trace in traces}) > 1
    hint = "Losses are on the left axis, everything else on the right one." * beside
    json = _assembled(traces, layout, first_only=False)
    return Interactive(json, [], hint, "along", _described(survey, data.quantities(survey)), strands)


def _described(survey: xr.Dataset, fields: Sequence[data.Field]) -> str:
    """Where each quantity is lowest and highest, a sentence each."""
    axes = data.axes(survey)
    points = [data.read_numbers(survey, axis) for axis in axes]

    def placed(values: scales.Floats, flat: np.intp) -> str:
        place = np.unravel_index(flat, values.shape)
        at = ", ".join(f"{axis} = {scales.number(float(c[k]))}" for axis, c, k in zip(axes, points, place, strict=True))
        return f"{scales.number(float(values[place]))} at {at}"

    told = []
    for field in fields:
        if not np.isfinite(field.values).any():
            told.append(f"The {field.label} is nowhere finite.")
            continue
        finite = np.where(np.isfinite(field.values), field.values, np.nan)
        low, high = (placed(finite, pick(finite)) for pick in (np.nanargmin, np.nanargmax))
        told.append(f"The {field.label} is lowest, {low}, and highest, {high}.")
    return " ".join(told)


def _ground(field: data.Field, losses: list[data.Field]) -> data.Field:
    """The loss whose height carries another variable: of the same split if there is one."""
    return next((loss for loss in losses if loss.split == field.split), data.preferred(losses))


def _flags(survey: xr.Dataset, ground: data.Field) -> list[Trace]:
    """A note for each network, at the height of the ground's nearest point; none where that is not finite."""
    u, v = data.axes(survey)
    there = networks(survey)
    heights = scales.limits(ground.values, log=True).heights(ground.values)
    found = []
    for name, (x, y) in zip(there.names, there.at, strict=True):
        nearest = tuple(int(np.abs(data.read_numbers(survey, axis) - at).argmin()) for axis, at in ((u, x), (v, y)))
        if np.isfinite(heights[nearest]):
            found.append(_flag(name) | {"x": float(x), "y": float(y), "z": float(heights[nearest])})
    return found


def _flag(name: str) -> Trace:
    look = {"showarrow": True, "arrowhead": 6, "arrowsize": 0.7, "arrowwidth": 1.2, "ax": 0, "ay": -24}
    return look | {"text": _plain(name), "font": {"color": INK}, "bgcolor": "rgba(255,255,255,0.75)"}


def _heat_map(survey: xr.Dataset, field: data.Field, values: scales.Floats) -> Trace:
    u, v = data.axes(survey)[:2]
    scale = _scale(field)
    return {
        "x": data.read_numbers(survey, u),
        "y": data.read_numbers(survey, v),
        "zmin": scale.pop("cmin"),
        "zmax": scale.pop("cmax"),
        "hovertemplate": _hover(u, v),
        "hoverongaps": True,
        **scale,
        **_heights(field, values),
    }


def _heights(field: data.Field, values: scales.Floats) -> Trace:
    """The part of a heat map that changes from slice to slice: colours and words, each of shape (V, U)."""
    return {"type": "heatmap", "z": data.limits_of([field]).heights(values), "text": _told([(field, values)])}


def _scale(field: data.Field) -> Trace:
    """The colour scale of a field: losses by log10, everything else as it is."""
    limits = data.limits_of([field])
    low, high = limits.low, limits.high
    bar: Trace = {
        "title": {"text": _plain(field.label), "side": "top"},
        "orientation": "h",
        "y": 1,
        "yanchor": "bottom",
        "thickness": 10,
        "len": 0.9,
        "outlinewidth": 1,
        "outlinecolor": GREY,
    }
    if limits.log:
        ticks = scales.log_ticks(low, high)
        bar |= {"tickvals": np.log10(ticks), "ticktext": [scales.number(tick) for tick in ticks]}
        low, high = np.log10([low, high])
    is_accuracy = field.metric == scales.ACCURACY
    colours = {"colorscale": "Viridis" if is_accuracy else "Magma", "reversescale": is_accuracy}
    return {"cmin": low, "cmax": high, "colorbar": bar, **colours}


def _hover(u: str, v: str) -> str:
    return f"{_plain(u)} %{{x:.3f}}, {_plain(v)} %{{y:.3f}}<br>%{{text}}<extra></extra>"


def _told(fields: list[tuple[data.Field, scales.Floats]]) -> list[list[str]]:
    """What a cell says when pointed at: the values as measured, NaN and infinities by name; shape (V, U)."""
    rows, columns = fields[0][1].shape
    named = [(_plain(field.label), values) for field, values in fields]
    return [
        ["<br>".join(f"{name} {scales.number(values[i, j])}" for name, values in named) for j in range(columns)]
        for i in range(rows)
    ]


def _plain(name: str) -> str:
    """A name that plotly, which takes texts for HTML, shows as it is."""
    return escape(escape_unprintable(name))


def _plane_layout(axes: tuple[str, ...]) -> Trace:
    bare = {"showgrid": False, "zeroline": False, "constrain": "domain"}
    return {
        "xaxis": {"title": {"text": _plain(axes[0])}, **bare},
        "yaxis": {"title": {"text": _plain(axes[1])}, **bare, "scaleanchor": "x"},
    }


def _assembled(traces: list[Trace], layout: Trace, *, first_only: bool, frames: Sequence[Trace] = ()) -> str:
    """A figure as JSON for a script element; of a menu's traces only the first is visible."""
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
