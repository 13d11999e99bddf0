"""Drawings and tables of the studies: maps of several runs side by side, curves with deviations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.files.writing import write_atomically
from lossatlas.views import data, figures, png, scales

__all__ = ["Curve", "draw_curves", "draw_maps", "save", "write_table"]


@dataclass(frozen=True)
class Curve:
    """One curve with a deviation at each point."""

    label: str
    x: Sequence[float]
    mean: Sequence[float]
    deviation: Sequence[float]
    colour: str
    style: str = "-"


def save(figure: Figure, path: Path) -> str:
    """Write a PNG file; returns Markdown that shows it."""
    write_atomically(path, png(figure), folders=True)
    return f"![{path.stem}]({path.name})"


def draw_maps(surveys: Mapping[str, xr.Dataset], variable: str, title: str, *, mask: bool = False) -> Figure:
    """Draw one map per survey with a common colour scale; all surveys have the same grid.

    Args:
        surveys: the surveys by the title of their panel.
        variable: ``test_loss``, ``test_accuracy`` or another variable of all surveys.
        title: the title of the figure.
        mask: begin with the requested mask of the first survey, in the colours of the scale's ends.
    """
    metric = variable.partition("_")[2]
    fields = {
        name: next(field for field in data.fields(survey, metric) if field.name == variable)
        for name, survey in surveys.items()
    }
    limits = data.limits_of([*fields.values()], log=metric == scales.LOSS)
    first, survey = next(iter(fields.values())), next(iter(surveys.values()))
    panels = [(name, field.plane()) for name, field in fields.items()]
    if mask and (wanted := data.target(survey)) is not None:
        ends = (limits.low, limits.high) if metric == scales.ACCURACY else (limits.high, limits.low)
        panels.insert(0, ("mask", np.where(wanted.T > 0, ends[1], ends[0])))
    return figures.heat_maps(
        survey,
        panels,
        limits,
        figures.ACCURACY if metric == scales.ACCURACY else figures.LOSS,
        colour_label=first.scale_label(limits),
        lost=scales.invalid(np.stack([field.values for field in fields.values()])),
        title=title,
    )


def draw_curves(drawn: Sequence[Curve], x_label: str, y_label: str) -> Figure:
    """Draw curves with error bars of one standard deviation."""
    figure = figures.figure(6.4, 4.4, "")
    ax = figure.add_subplot()
    for curve in drawn:
        bars = curve.deviation if any(curve.deviation) else None
        ax.errorbar(
            curve.x, curve.mean, yerr=bars, label=curve.label, color=curve.colour, linestyle=curve.style,
            marker="o", markersize=4, capsize=3, linewidth=1.6,
        )  # fmt: skip
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.tick_params(labelsize=8)
    repeated = any(any(curve.deviation) for curve in drawn)
    note = "bars: one standard deviation over the repetitions" if repeated else ""
    figures.captioned(figure, note, keys=ax.get_legend_handles_labels()[0])
    return figure


def write_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a Markdown table; numbers have three decimals, None is a dash."""

    def cell(value: object) -> str:
        if value is None:
            return "-"
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(map(cell, row)) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)
