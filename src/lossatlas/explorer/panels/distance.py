"""How far the network is from the centre, in weight space."""

from __future__ import annotations

from dash.development.base_component import Component

from lossatlas.explorer.answer import Answer
from lossatlas.explorer.panel import Panel, make_table

__all__ = ["Distance"]


class Distance(Panel):
    """Distance and cosine between the network's weights and those at the centre."""

    rank = 30
    title = "Distance from the centre"

    def show(self, answer: Answer) -> Component | None:
        found = answer.found.place
        rows = [
            ("distance \u2016w \u2212 w\u2080\u2016", f"{found.distance:.4g}"),
            ("relative to \u2016w\u2080\u2016", f"{found.relative_distance:.4g}"),
            ("cosine of w and w\u2080", f"{found.cosine:.6f}"),
        ]
        if answer.found.off_chart:
            rows.append(("distance from the chart", f"{answer.found.off_chart:.4g}"))
        return make_table((f"w\u2080 is {answer.centre_name}", "here"), rows)
