"""Drawings and tables of the studies: maps of several runs side by side, curves with deviations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from types import MappingProxyType

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.files.writing import write_atomically
from lossatlas.views import DrawnPicture, StillView, Style, data, figures, scales

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


def save(picture: DrawnPicture, path: Path) -> str:
    """Write a PNG file; returns the Markdown that shows it, with its caption for those who cannot see it."""
    write_atomically(path, picture.render("png"), folders=True)
    return f"![{' '.join(picture.caption.split())}]({path.name})"


@dataclass(frozen=True)
class Maps(StillView[Mapping[str, xr.Dataset]]):
    """One map per survey with one colour scale; surveys share their grid, and are given by the titles of their panels.

    Attributes:
        variable: ``test_loss``, ``test_accuracy`` or another variable that all of them have.
        mask: Begin with the mask that the first survey was to show, its low cells at the end of the scale for them.
    """

    variable: str
    mask: bool = False

    needs = "surveys with the same grid that have the variable"
    caption = "One quantity of several surveys as maps with one colour scale."
    rank = 10

    def applies(self, surveys: Mapping[str, xr.Dataset]) -> bool:
        return all(self.variable in survey for survey in surveys.values())

    def describe(self, surveys: Mapping[str, xr.Dataset]) -> str:
        return f"The {self.variable.replace('_', ' ')} of {', '.join(surveys)}, with one colour scale."

    def draw(self, surveys: Mapping[str, xr.Dataset], style: Style) -> Figure:
        metric = self.variable.partition("_")[2]
        fields = {
            name: next(field for field in data.fields(survey, metric) if field.name == self.variable)
            for name, survey in surveys.items()
        }
        limits = style.limit([*fields.values()], log=metric == scales.LOSS)
        first, survey = next(iter(fields.values())), next(iter(surveys.values()))
        panels = [(name, field.plane()) for name, field in fields.items()]
        if self.mask and (wanted := data.target(survey)) is not None:
            ends = (limits.low, limits.high) if metric == scales.ACCURACY else (limits.high, limits.low)
            panels.insert(0, ("mask", np.where(wanted.T > 0, ends[1], ends[0])))
        return figures.heat_maps(
            style,
            survey,
            panels,
            limits,
            style.colour(figures.ACCURACY if metric == scales.ACCURACY else figures.LOSS, metric),
            colour_label=first.scale_label(limits),
            lost=scales.invalid(np.stack([field.values for field in fields.values()])),
        )


@dataclass(frozen=True)
class Curves(StillView[Sequence[Curve]]):
    """Curves with error bars of one standard deviation.

    Attributes:
        x_label: What they are drawn against.
        y_label: What they show.
        log_x: Whether what they are drawn against has a logarithmic scale.
        marks: Where vertical lines are drawn, by what they stand for.
    """

    x_label: str
    y_label: str
    log_x: bool = False
    marks: Mapping[str, float] = field(default_factory=dict)

    needs = "curves"
    caption = "Curves with error bars of one standard deviation over the repetitions."
    rank = 10

    def applies(self, curves: Sequence[Curve]) -> bool:
        return bool(curves)

    def describe(self, curves: Sequence[Curve]) -> str:
        marked = "; ".join(f"marked at {where:g}: {label}" for label, where in self.marks.items())
        drawn = f"{self.y_label} against {self.x_label}: {', '.join(curve.label for curve in curves)}"
        return f"{drawn}; {marked}." if marked else f"{drawn}."

    def draw(self, curves: Sequence[Curve], style: Style) -> Figure:
        figure = figures.figure(style, 6.4, 4.4)
        ax = figure.add_subplot()
        for curve in curves:
            bars = curve.deviation if any(curve.deviation) else None
            ax.errorbar(
                curve.x, curve.mean, yerr=bars, label=curve.label, color=curve.colour, linestyle=curve.style,
                marker="o", markersize=4, capsize=3, linewidth=1.6,
            )  # fmt: skip
        for (label, where), dashes in zip(self.marks.items(), cycle(("--", "-.")), strict=False):
            ax.axvline(where, label=label, color=figures.GREY, linestyle=dashes, linewidth=1.0, zorder=0)
        if self.log_x:
            ax.set_xscale("log")
            ticks = sorted({x for curve in curves for x in curve.x})
            ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
            ax.minorticks_off()
        ax.set_xlabel(self.x_label)
        ax.set_ylabel(self.y_label)
        ax.tick_params(labelsize=8)
        repeated = any(any(curve.deviation) for curve in curves)
        note = "bars: one standard deviation over the repetitions" if repeated else ""
        figures.captioned(figure, note, keys=ax.get_legend_handles_labels()[0])
        return figure


def draw_maps(surveys: Mapping[str, xr.Dataset], variable: str, title: str, *, mask: bool = False) -> DrawnPicture:
    """The picture :class:`Maps` of some surveys, by the titles of their panels."""
    return Maps(variable, mask).picture(surveys, variable, Style(title=title))


def draw_curves(
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    marks: Mapping[str, float] = MappingProxyType({}),
) -> DrawnPicture:
    """The picture :class:`Curves` of some curves."""
    return Curves(x_label, y_label, log_x, marks).picture(curves, y_label)


def write_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a Markdown table; numbers have three decimals, None is a dash."""

    def cell(value: object) -> str:
        if value is None:
            return "-"
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(map(cell, row)) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)
