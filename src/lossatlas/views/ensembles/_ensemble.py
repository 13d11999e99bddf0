"""What pictures of ensembles share: curves against a number, their axes, and the colours of ensembles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lossatlas.describing import count_things
from lossatlas.schema import InEnsemble
from lossatlas.views import data, figures, lines, looks, scales
from lossatlas.views.base import StillView
from lossatlas.views.ensemble_data import Ensembles, name_ensembles
from lossatlas.views.networks import short
from lossatlas.views.scales import Floats
from lossatlas.views.style import Style

__all__ = [
    "BANDS",
    "WHOLE",
    "Drawn",
    "EnsembleView",
    "draw_curves",
    "lay_panels",
    "list_names",
    "make_keys",
    "scale_counts",
]

PANEL, HEIGHT = 4.2, 2.8  # inches
LEAST = 1.7  # inches; the height of a panel of a narrow figure
ALONE = 2.4  # inches; the same where it is the only one
MANY = 12  # members, from which on their number has a logarithmic axis
WHOLE = "all examples"
BANDS = "bands: two standard errors above and below"


class EnsembleView(StillView[Ensembles]):
    """A kind of picture of an ensemble, or of several on shared axes."""

    subject = "ensemble"

    def prepare(self, subject: Ensembles | xr.Dataset) -> Ensembles:
        return name_ensembles(subject)

    def describe(self, ensembles: Ensembles) -> str:
        return f"{self.caption} Ensembles: {', '.join(ensembles)}." if len(ensembles) > 1 else self.caption

    def list_contents(self, subject: Ensembles | xr.Dataset) -> str:
        several = name_ensembles(subject)
        said = [
            f"{name}: " * (len(several) > 1)
            + f"{count_things(one.sizes[InEnsemble.MEMBER], 'member')} and variables "
            + ", ".join(sorted(map(str, one.data_vars)))
            for name, one in several.items()
        ]
        return "; ".join(said)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A curve of a panel.

    Attributes:
        at: Where its points lie (P,).
        values: Their values (P,); NaN where there are none.
        error: Their standard errors (P,), shown as a band; None draws none.
        stroke: How it looks.
    """

    at: Floats
    values: Floats
    error: Floats | None
    stroke: lines.Stroke


def draw_curves(panels: Sequence[Axes], label: str, curves: Sequence[Sequence[Drawn]]) -> None:
    """Draw the curves of one quantity in panels of one scale, logarithmic where the values are wide apart.

    Values that are NaN are left out; those that are infinite are marked at the top.

    Args:
        panels: beside each other; the first has the label.
        label: of the vertical axis.
        curves: of each panel.
    """
    values = np.concatenate([one.values for each in curves for one in each])
    limits = scales.limits(values, log=scales.logarithmic("", values))
    shown = []
    for ax, each in zip(panels, curves, strict=True):
        for place, one in enumerate(each):
            there = ~np.isnan(one.values)
            error = None if one.error is None else one.error[there]
            field = data.Field(label, label, "", "", one.values[there], error=error)
            shown.append(lines.curve(ax, one.at[there], field, limits, one.stroke, place))
    for ax in panels:
        lines.frame(ax, np.concatenate(shown), limits)
    panels[0].set_ylabel(label)


def scale_counts(ax: Axes, counts: Floats) -> None:
    """Set the horizontal axis to numbers of members, logarithmic where they are many."""
    low, high = float(counts.min()), float(counts.max())
    if high > MANY and low < high:
        ax.set_xscale("log")
        pad = (high / low) ** 0.03
        ax.set_xlim(low / pad, high * pad)
        figures.log_axis(ax.xaxis, low, high)
    else:
        ax.margins(x=0.04)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))


def lay_panels(style: Style, count: int, across: str) -> tuple[Figure, list[Axes], float]:
    """Make a figure with some panels, two beside each other where there is room.

    Args:
        style: title and width of the picture.
        count: how many panels.
        across: the label of the horizontal axes.

    Returns:
        The figure; its panels; and their height in inches, about.
    """
    narrow = style.is_narrower(figures.NARROW)
    abreast = 1 if narrow else min(2, count)
    down = -(-count // abreast)
    drawn = figures.figure(style, 0.8 + PANEL * min(2, count), 0.9 + HEIGHT * down)
    if narrow:
        drawn.set_figheight(0.9 + (LEAST * down if down > 1 else ALONE))
    placed = []
    for index in range(count):
        ax = drawn.add_subplot(down, abreast, index + 1)
        last = index + abreast >= count
        ax.set_xlabel(across if last else "")
        ax.tick_params(labelbottom=last, labelsize=8)
        placed.append(ax)
    return drawn, placed, (drawn.get_figheight() - 0.9) / down - 0.2


def list_names(ensembles: Ensembles) -> list[tuple[str, str, xr.Dataset]]:
    """List the name, the colour and the data of each ensemble."""
    return [(short(name), looks.colour(index), one) for index, (name, one) in enumerate(ensembles.items())]


def make_keys(strokes: Sequence[lines.Stroke], *, whole_and_halves: bool = False) -> list[Artist]:
    """Make the legend entries of strokes, each once.

    Args:
        strokes: how curves look; those without a name are left out.
        whole_and_halves: whether solid and dashed lines are explained, for several ensembles.
    """
    shown = [one for one in dict.fromkeys(strokes) if one.label != lines.UNNAMED]
    if whole_and_halves:
        grey = (("-", WHOLE), ("--", "halves, tempered"))
        shown += [lines.Stroke(looks.GREY, style, label) for style, label in grey]
    return [
        Line2D([], [], color=one.colour, ls=one.style, marker=one.mark, markersize=4, label=one.label) for one in shown
    ]
