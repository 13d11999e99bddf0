"""The selected region, surveyed finer into the run's own store."""

from __future__ import annotations

from typing import Any

from dash import html
from dash.development.base_component import Component

from lossatlas.describing import count_things
from lossatlas.errors import BadInput
from lossatlas.explorer.action import Action, Request
from lossatlas.explorer.queue import Handle

__all__ = ["Refine"]


class Refine(Action):
    """Evaluate the middles between the points of a region; the rest is interpolated as refined surveys are."""

    rank = 40
    button = "Survey the selected region finer"
    hint = "Select a region of a picture with the box tool first. Points are added to the run's own survey."

    def check(self, request: Request) -> None:
        if not request.region:
            raise BadInput("no region is selected: choose one with the box tool of a picture")

    def carry_out(self, request: Request, handle: Handle) -> Any:
        from lossatlas.jobs.refine import refine_region

        assert request.region is not None
        follow = handle.follow("surveying the region")
        said: list[str] = []
        count = refine_region(request.subject.run, request.region, on_points=follow, say=said.append)
        return count, tuple(said)

    def show(self, result: Any, ticket: str) -> Component:
        count, said = result
        done = html.P(f"{count_things(count, 'point')} evaluated: the run's survey has them now.", className="note")
        return html.Div([done, *(html.P(line, className="note") for line in said)])
