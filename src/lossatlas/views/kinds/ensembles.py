"""Ensembles of the ends of a curve with a network on it."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.schema import Along
from lossatlas.views import data, figures, lines, scales
from lossatlas.views.base import SurveyView
from lossatlas.views.kinds._curves import STROKES
from lossatlas.views.lines import Stroke
from lossatlas.views.style import MILLIMETRE, Style

__all__ = ["Ensembles"]

PATHS = ("curve", "straight", "random")
BOTH = Stroke("#31688e", "-.", "both ends alone")
COLUMNS = ("the point alone", "with the first end", "with both ends")
WIDE, TALL = 3.9, 3.1  # inches; the size of a panel
NARROW = 6.0  # inches; in a narrower figure losses stand beside errors instead of below them


class Ensembles(SurveyView):
    """Error and loss of single networks and of ensembles with one end or both ends of the curve, against t."""

    needs = "one axis and ensembles along it"
    caption = (
        "Error and loss against t for networks on the curve, on the straight line, and a random step of the same "
        "length away: alone, and in an ensemble (averaged predictions) with the first end or with both ends. For "
        "comparison, the ensemble of both ends alone."
    )
    rank = 12
    narrowest = 80 * MILLIMETRE

    def applies(self, survey: xr.Dataset) -> bool:
        return len(data.axes(survey)) == 1 and _split(survey) != ""

    def list_shown(self, survey: xr.Dataset) -> list[data.Field]:
        return []

    def draw(self, survey: xr.Dataset, style: Style) -> Figure:
        split = _split(survey)
        narrow = style.is_narrower(NARROW)
        down, across = (len(COLUMNS), 2) if narrow else (2, len(COLUMNS))
        drawn = figures.figure(style, across * WIDE, down * TALL + 0.4)
        panels = drawn.subplots(down, across, sharex=True, squeeze=False)
        panels = panels.T if narrow else panels
        at = lines.beside(survey)
        for row, (metric, label) in enumerate((("accuracy", f"{split} error"), ("loss", f"{split} loss"))):
            values = {path: _values(survey, path, split, metric) for path in PATHS}
            low, high = _frame(values)
            for column, (ax, words) in enumerate(zip(panels[row], COLUMNS, strict=True)):
                for path in PATHS:
                    stroke = STROKES[path]
                    own = values[path][column]
                    ax.plot(at, own, stroke.style, color=stroke.colour, linewidth=1.6, label=stroke.label)
                # The end of the straight line is the last network itself, unlike that of a curve with trained ends.
                both = float(values["straight"][1][-1])
                ax.axhline(both, color=BOTH.colour, linestyle=BOTH.style, linewidth=1.1, label=BOTH.label)
                figures.limit_upright(ax, low, high)
                ax.tick_params(labelsize=8)
                if row == 0 or narrow:
                    ax.set_title(words, fontsize=10, color=figures.GREY)
                if ax.get_subplotspec().is_last_row():
                    ax.set_xlabel("t")
                if column == 0 or narrow:
                    ax.set_ylabel(label)
        keys = panels[0][0].get_legend_handles_labels()[0]
        figures.captioned(
            drawn, "scales end slightly above the highest value on the curve", *data.notes(survey), keys=keys
        )
        return drawn


def _split(survey: xr.Dataset) -> str:
    """Choose the split to show: test, or else train; empty if neither has ensembles."""
    for split in ("test", "train"):
        names = (Along.ensemble(path, split, metric) for path in PATHS for metric in ("loss", "accuracy"))
        if all(name in survey for name in names):
            return split
    return ""


def _values(survey: xr.Dataset, path: str, split: str, metric: str) -> scales.Floats:
    """Read losses or errors (3, T): of the network alone, with the first end, and with both ends."""
    values = data.read_numbers(survey, Along.ensemble(path, split, metric))
    return 1 - values if metric == "accuracy" else values


def _frame(values: dict[str, scales.Floats]) -> tuple[float, float]:
    """Compute limits that show all values on the curve; a barrier on the straight line would hide the differences."""
    finite = values["curve"][np.isfinite(values["curve"])]
    every = np.concatenate([numbers[np.isfinite(numbers)] for numbers in values.values()])
    low = float(every.min()) if every.size else 0.0
    high = float(finite.max()) if finite.size else 1.0
    return low - 0.1 * (high - low), high + 0.25 * (high - low)
