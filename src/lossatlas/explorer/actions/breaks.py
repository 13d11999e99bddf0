"""Which examples break first when one leaves the centre, and in which direction."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from dash import dcc, html
from dash.development.base_component import Component

from lossatlas.explorer.action import Action, Request
from lossatlas.explorer.answer import picture_example, write_class
from lossatlas.explorer.panel import make_example, make_table
from lossatlas.explorer.queue import Handle
from lossatlas.views.looks import GREY, colour

if TYPE_CHECKING:
    from lossatlas.studies import Breaks as Found
    from lossatlas.studies.breaking import Break

__all__ = ["Breaks"]

LISTED = 12
"""The most examples that are shown."""
SHARES = (0.01, 0.1)
"""The shares of the examples whose distances are drawn for each direction."""


@dataclass(frozen=True)
class _Result:
    """What was found, with what it takes to show it."""

    split: str
    centre: str
    classes: tuple[str, ...]
    found: Found
    pictures: dict[int, str]


class Breaks(Action):
    """Walk from the centre in all directions of the chart, and find where predictions become wrong."""

    rank = 10
    button = "Which examples break first?"
    hint = "Walks from the centre in all directions of the chart, and finds the nearest places where examples break."

    def carry_out(self, request: Request, handle: Handle) -> _Result:
        evaluator, split, subject = request.evaluator, request.choose_split(), request.subject
        evaluator.prepare()
        at = dict(zip(evaluator.axes, evaluator.centre.coords, strict=True))
        centre = subject.list_coords(at, request.look.sample)  # in the directions of the repeat that is shown
        found = evaluator.find_breaks(split, handle.follow("walking away from the centre"), centre=centre)
        first = (each.example for each in found.earliest[:LISTED])
        pictures = {example: picture_example(evaluator, split, example) for example in first}
        name = evaluator.centre.words
        if len(subject.read().samples) > 1:
            name = f"{name} in {list(subject.read().samples)[request.look.sample]}"
        return _Result(split, name, evaluator.name_classes(), found, pictures)

    def show(self, result: Any, ticket: str) -> Component:
        assert isinstance(result, _Result)
        found = result.found
        said = (
            f"From {result.centre}, {len(found.rays)} directions to the edge of the survey: {found.broken_within:,} of "
            f"the {found.whole:,} examples of {result.split} that are whole there break. An example is broken where "
            f"{found.criterion}."
        )
        if found.left_out:
            others = "other is" if found.left_out == 1 else "others are"
            said += f" {found.left_out:,} {others} broken at the centre already, and left out."
        cautions = [html.P(line, className="caution") for line in found.notes]
        if not found.earliest:
            return html.Div([*cautions, html.P(f"{said} Within reach none breaks.")])
        return html.Div(
            [
                *cautions,
                html.P(said, className="note"),
                html.P(_tell_most_fragile(found)),
                html.Ul([_show_break(result, each) for each in found.earliest[:LISTED]], className="examples"),
                html.Div([_lay_directions(found), *_draw_directions(found)], className="answer"),
            ],
            className="panel",
        )


def _tell_most_fragile(found: Found) -> str:
    """Name the direction in which examples break first."""
    for share in (SHARES[1], SHARES[0]):
        ray = found.find_most_fragile(share)
        if ray is not None:
            distance = found.find_radii(share)[ray]
            return (
                f"The most fragile direction is {_name_direction(found, ray)}: {share:.0%} of them are broken at a "
                f"distance of {distance:.3g}."
            )
    first = found.earliest[0]
    return f"In no direction 1 % of them break; the first does {_name_direction(found, first.direction)}."


def _name_direction(found: Found, ray: int, brief: bool = False) -> str:
    """Name a direction by its angle where it has one, and by its unit vector unless the angle suffices."""
    rays = found.rays
    vector = ", ".join(f"{axis} {value:+.2f}" for axis, value in zip(rays.axes, rays.directions[ray], strict=True))
    if rays.angles is None or len(rays.axes) < 2:
        return vector
    return f"{rays.angles[ray]:.0f}\u00b0" if brief else f"{rays.angles[ray]:.0f}\u00b0 ({vector})"


def _show_break(result: _Result, each: Break) -> Component:
    """Show one example: where it breaks, and as what."""
    direction = _name_direction(result.found, each.direction, brief=True)
    said: list[str | Component] = [f"at {each.distance:.3g} towards {direction}"]
    said.append(f"\u2016\u0394w\u2016 = {each.weight_distance:.3g}")
    said.append(f"loss {each.centre_loss:.3g} \u2192 {each.loss:.3g}")
    if each.target is not None:
        label, prediction = (write_class(value, result.classes) for value in (each.target, each.prediction))
        said.append(f"label {label}, predicted {prediction}")
    at = dict(zip(result.found.rays.axes, each.coords, strict=False))
    go = html.Button("Go there", **_name_place(at))
    title = f"{result.split} {each.example}"
    return make_example(result.pictures.get(each.example, ""), title, [*said, go])


def _name_place(at: dict[str, float]) -> Any:
    """Make the attribute by which the page knows where a button leads."""
    return {"data-at": json.dumps(at)}


def _lay_directions(found: Found) -> Component:
    """Lay out how soon examples break in each direction."""
    radii = {share: found.find_radii(share) for share in SHARES}
    order = np.argsort(np.where(np.isnan(radii[SHARES[1]]), np.inf, radii[SHARES[1]]), kind="stable")
    rows = [
        (
            _name_direction(found, ray),
            *("not within reach" if np.isnan(at[ray]) else f"{at[ray]:.3g}" for at in radii.values()),
            f"{int(found.broken[ray, -1]):,}",
            f"{found.rays.reaches[ray]:.3g}",
        )
        for ray in order
    ]
    header = ("direction", *(f"{share:.0%} broken at" for share in SHARES), "at its end", "its length")
    return make_table(header, rows, "The most fragile direction first; distances in coordinates")


def _draw_directions(found: Found) -> list[Component]:
    """Draw how far one can walk in each direction of a plane."""
    angles = found.rays.angles
    if angles is None or len(found.rays.axes) != 2:
        return []
    round_trip = [*range(len(angles)), 0]
    traces = [
        {
            "type": "scatterpolar",
            "mode": "lines+markers",
            "name": f"{share:.0%} broken",
            "r": [None if np.isnan(radii[k]) else float(radii[k]) for k in round_trip],
            "theta": [float(angles[k]) for k in round_trip],
            "line": {"color": colour(index + 1)},
        }
        for index, share in enumerate(SHARES)
        for radii in (found.find_radii(share),)
    ]
    line = "rgba(128,128,128,0.3)"
    layout = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": GREY},
        "margin": {"l": 40, "r": 40, "t": 30, "b": 30},
        "polar": {
            "bgcolor": "rgba(0,0,0,0)",
            "radialaxis": {"gridcolor": line, "rangemode": "tozero", "nticks": 4, "angle": 90, "tickangle": 90},
            "angularaxis": {"gridcolor": line},
        },
        "legend": {"orientation": "h"},
    }
    graph = dcc.Graph(figure={"data": traces, "layout": layout}, config={"displayModeBar": False}, responsive=True)
    return [html.Div(graph, className="polar")]
