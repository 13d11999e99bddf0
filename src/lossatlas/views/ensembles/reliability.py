"""How often predictions of a confidence are right, before and after averaging and with a temperature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lossatlas.schema import STANDARD_ERROR, InEnsemble
from lossatlas.views import data, figures, lines, looks, scales
from lossatlas.views.ensemble_data import Ensembles, has_values, list_differing
from lossatlas.views.ensembles._ensemble import EnsembleView, list_names, make_keys
from lossatlas.views.scales import Floats
from lossatlas.views.style import MILLIMETRE, Style

__all__ = ["Reliability"]

PANEL, HEIGHT = 3.6, 5.0  # inches
LOW, HIGH = 4.0, 3.4  # inches; the heights of a panel of a narrow figure where it is the only one, and of several
STRIP = 0.3  # of the height of a diagram; that of the shares of examples below it


@dataclass(frozen=True, eq=False)
class _Bins:
    """The bins of confidence of predictions: mean confidence, share of right ones, share of all examples, (bins,) each.

    The first two are NaN in empty bins, and so are standard errors of the shares of right predictions, if known.
    """

    confidence: Floats
    accuracy: Floats
    share: Floats
    stroke: lines.Stroke
    error: Floats


class Reliability(EnsembleView):
    """Accuracy against confidence in bins, with the share of predictions of each bin below."""

    needs = "bins of confidence of predictions (bin_confidence, bin_accuracy and bin_share) of classifiers"
    caption = (
        "How often predictions are right against their confidence, the largest probability, in bins of equal width; on "
        "the diagonal they are calibrated, below it too confident. Bars are two standard errors over examples, and "
        "below stands which share of the predictions is in each bin."
    )
    rank = 30
    whole = True
    narrowest = 70 * MILLIMETRE

    def applies(self, ensembles: Ensembles) -> bool:
        return all(has_values(one, InEnsemble.ACCURACY) for one in ensembles.values())

    def draw(self, ensembles: Ensembles, style: Style) -> Figure:
        panels = _list_panels(ensembles)
        columns = 1 if style.is_narrower(figures.NARROW) else len(panels)
        rows = -(-len(panels) // columns)
        drawn = figures.figure(style, 0.9 + PANEL * max(columns, 2 if len(panels) == 1 else 3), 0.6 + HEIGHT)
        if style.is_narrower(figures.NARROW):
            drawn.set_figheight(1.0 + (LOW if rows == 1 else HIGH * rows))
        grid = drawn.add_gridspec(2 * rows, columns, height_ratios=[1, STRIP] * rows)
        for index, (title, shown) in enumerate(panels.items()):
            row, column = divmod(index, columns)
            upper = drawn.add_subplot(grid[2 * row, column])
            lower = drawn.add_subplot(grid[2 * row + 1, column], sharex=upper)
            _draw_diagram(upper, shown)
            _draw_shares(lower, shown)
            upper.set_title(title, fontsize=10, color=looks.INK)
            if column == 0:
                upper.set_ylabel("share of right predictions")
                lower.set_ylabel("predictions")
            lower.set_xlabel("confidence" if row == rows - 1 else "")
        strokes = [one.stroke for shown in panels.values() for one in shown]
        bins = {len(one.share) for shown in panels.values() for one in shown}
        figures.captioned(
            drawn,
            f"{' or '.join(map(str, sorted(bins)))} bins of confidence",
            *list_differing(ensembles),
            keys=make_keys(strokes),
        )
        return drawn

    def describe_alternative(self, ensembles: Ensembles) -> str:
        said = [self.describe(ensembles)]
        for title, shown in _list_panels(ensembles).items():
            for one in shown:
                gap = float(np.nansum(one.share * np.abs(one.accuracy - one.confidence)))
                mean = float(np.nansum(one.share * one.confidence))
                of = ", ".join(filter(None, [one.stroke.label, title]))
                right = float(np.nansum(one.share * one.accuracy))
                said.append(
                    f"{of}: mean confidence {scales.number(mean)}, {scales.percent(right)} right, mean distance from "
                    f"the diagonal {scales.number(gap)}."
                )
        return " ".join(said)


def _list_panels(ensembles: Ensembles) -> dict[str, list[_Bins]]:
    """List the bins of each panel by its title: a single untitled panel of one ensemble, else one for each stage."""
    if len(ensembles) == 1:
        (one,) = ensembles.values()
        stages = [str(stage) for stage in one[InEnsemble.STAGE].values]
        strokes = [lines.Stroke(looks.colour(k), "-", stage, ".") for k, stage in enumerate(stages)]
        return {"": [*_list_bins(one, stages, strokes)]}
    panels: dict[str, list[_Bins]] = {}
    for name, colour, one in list_names(ensembles):
        for stage in map(str, one[InEnsemble.STAGE].values):
            panels.setdefault(stage, []).extend(_list_bins(one, [stage], [lines.Stroke(colour, "-", name, ".")]))
    return panels


def _list_bins(ensemble: xr.Dataset, stages: list[str], strokes: list[lines.Stroke]) -> Iterator[_Bins]:
    for stage, stroke in zip(stages, strokes, strict=True):
        own = ensemble.sel({InEnsemble.STAGE: stage})
        confidence, accuracy, share = (
            data.read_numbers(own, name) for name in (InEnsemble.CONFIDENCE, InEnsemble.ACCURACY, InEnsemble.SHARE)
        )
        if np.isfinite(accuracy).any():
            name = STANDARD_ERROR.of(InEnsemble.ACCURACY)
            error = data.read_numbers(own, name) if name in own else np.full(len(share), np.nan)
            yield _Bins(confidence, accuracy, share, stroke, error)


def _draw_diagram(ax: Axes, shown: list[_Bins]) -> None:
    ax.plot([0, 1], [0, 1], "-", color=looks.GREY, linewidth=0.8, label=lines.UNNAMED, zorder=1)
    for one in shown:
        there = np.isfinite(one.accuracy) & np.isfinite(one.confidence)
        ax.errorbar(
            one.confidence[there], one.accuracy[there], yerr=2 * one.error[there], fmt=f"{one.stroke.style}o",
            color=one.stroke.colour, markersize=3.5, linewidth=1.4, elinewidth=0.9, capsize=1.5, label=lines.UNNAMED,
        )  # fmt: skip
    ax.set(xlim=(0, 1.02), ylim=(-0.02, 1.02))
    ax.tick_params(labelsize=8, labelbottom=False)


def _draw_shares(ax: Axes, shown: list[_Bins]) -> None:
    for one in shown:
        ax.stairs(
            one.share, np.linspace(0, 1, len(one.share) + 1), color=one.stroke.colour, linewidth=1.3,
            label=lines.UNNAMED,
        )  # fmt: skip
    ax.set_ylim(0, None)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=2, min_n_ticks=2))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.tick_params(labelsize=8)
