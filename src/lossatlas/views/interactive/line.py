"""Curves of all quantities along a line."""

from __future__ import annotations

import numpy as np
import xarray as xr

from lossatlas.views import data, scales
from lossatlas.views.base import InteractiveView
from lossatlas.views.looks import GREY
from lossatlas.views.networks import networks
from lossatlas.views.plot import Plot, Strand
from lossatlas.views.traces import MARGIN, Trace, assemble, escape_text, list_choices

__all__ = ["Line"]

COLOURS = ("#8c6bb1", "#d6604d", "#2b8cbe", "#b8860b", "#2e9e6b", "#c2559b", "#7f8c1b", "#777b86")
"""Colours of curves that stand out on white and on dark pages."""


class Line(InteractiveView):
    """All losses on the left axis, everything else on the right one."""

    needs = "one axis"
    caption = "All quantities along the line: losses on the left axis, everything else on the right one."
    rank = 10

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) == 1

    def plot(self, survey: xr.Dataset) -> Plot:
        (axis,) = data.axes(survey)
        at = data.read_numbers(survey, axis)
        losses = data.fields(survey, scales.LOSS)
        limits = data.limits_of(losses, log=True) if losses else None
        traces: list[Trace] = []
        strands: list[Strand] = []
        alone = not losses and not data.fields(survey, scales.ACCURACY)
        for index, field in enumerate(list_choices(survey)):
            is_loss = limits is not None and field.metric == scales.LOSS
            # Quantities such as gradient norms would flatten the accuracies with which they share an axis.
            visible = field.metric in (scales.LOSS, scales.ACCURACY) or alone
            strand = Strand(field.label, COLOURS[index % len(COLOURS)], "solid" if is_loss else "dash", visible)
            strands.append(strand)
            shown = limits.shown(field.values) if limits and is_loss else field.values
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": escape_text(field.label),
                    "x": at,
                    "y": np.where(np.isfinite(shown), shown, np.nan),
                    "yaxis": "y" if is_loss or not losses else "y2",
                    "line": {"dash": strand.dash, "color": strand.colour},
                    "marker": {"size": 4, "color": strand.colour},
                    "visible": visible or "legendonly",
                }
            )
        left: Trace = {"title": {"text": escape_text(losses[0].metric) if losses else ""}, "automargin": True}
        if limits and limits.log:
            ticks = scales.log_ticks(limits.low, limits.high)
            left |= {"type": "log", "tickvals": ticks, "ticktext": [scales.number(tick) for tick in ticks]}
        # Without a tick mode of its own, an overlaying axis has its ticks where the other axis has them.
        metrics = {field.metric for field in data.quantities(survey)} - {scales.LOSS}
        title = escape_text(metrics.pop().replace("_", " ")) if losses and len(metrics) == 1 else ""
        right: Trace = {
            "title": {"text": title},
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
            "zeroline": False,
            "tickmode": "auto",
        }
        layout = {
            "xaxis": {"title": {"text": escape_text(data.axis_label(survey, axis))}, "automargin": True},
            "yaxis": left,
            "yaxis2": right | {"automargin": True},
            "showlegend": False,  # the page has check boxes instead
        }
        there = networks(survey)
        across = {
            "type": "line",
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": GREY, "width": 1, "dash": "dash"},
        }
        layout["shapes"] = [across | {"x0": float(u), "x1": float(u)} for (u,) in there.at]
        layout["annotations"] = [
            {"x": float(u), "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False, "text": escape_text(name)}
            for name, (u,) in zip(there.names, there.at, strict=True)
        ]
        layout["margin"] = MARGIN | {"t": 46 if len(there) else MARGIN["t"]}
        beside = len({trace["yaxis"] for trace in traces}) > 1
        hint = "Losses are on the left axis, everything else on the right one." * beside
        json = assemble(traces, layout, first_only=False)
        return Plot(json, [], hint, "along", strands)
