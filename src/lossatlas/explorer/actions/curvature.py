"""Curvature at the chosen point: the ends of the Hessian's spectrum, and its trace."""

from __future__ import annotations

from typing import Any

from dash import html
from dash.development.base_component import Component

from lossatlas.errors import BadInput
from lossatlas.explorer.action import Action, Request
from lossatlas.explorer.panel import make_table
from lossatlas.explorer.queue import Handle
from lossatlas.schema import say_metric

__all__ = ["Curvature"]


class Curvature(Action):
    """Measure the largest and the smallest eigenvalue of the Hessian and its trace."""

    rank = 20
    button = "Measure curvature here"
    hint = "The largest and the smallest eigenvalue of the Hessian of the mean training loss, and its trace."

    def check(self, request: Request) -> None:
        if request.snapshot is not None:
            raise BadInput(
                "a snapshot of the training is marked, which lies off the chart: move the mark by an arrow key for a "
                "point of the chart, or measure snapshots by lossatlas curvature"
            )

    def carry_out(self, request: Request, handle: Handle) -> Any:
        where = request.subject.say_network(request.place.at, request.look.sample)
        follow = handle.follow("measuring curvature")
        return where, request.evaluator.measure_curvature(request.list_coords(), on_points=follow)

    def show(self, result: Any, ticket: str) -> Component:
        where, found = result
        rows = [
            (say_metric(each.name), f"{each.value:.5g}", f"{each.error:.2g} ({say_metric(each.error_name)})")
            for each in found.numbers
        ]
        cautions = [html.P(line, className="caution") for line in found.cautions]
        table = make_table(("", "value", "uncertain by"), rows, f"The mean loss on {found.split}, at {where}")
        return html.Div([table, *cautions], className="panel")
