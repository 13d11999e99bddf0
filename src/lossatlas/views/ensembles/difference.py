"""Paired differences of scores between ensembles on the same examples."""

from __future__ import annotations

import math
from itertools import count

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lossatlas.paired import ScoreDifference
from lossatlas.views import figures, lines, looks, scales
from lossatlas.views.ensemble_data import Ensembles, find_differences, find_label, list_differing
from lossatlas.views.ensembles._ensemble import EnsembleView, make_keys
from lossatlas.views.networks import short
from lossatlas.views.style import MILLIMETRE, Style

__all__ = ["Difference"]

PANEL, ROW = 4.2, 0.4  # inches; the width of a panel, and the height of an ensemble in it
HEAD = 1.0  # inches; of a panel, beside its rows
LABEL = 2.4  # inches; the width of a label below a panel
APART = 0.14  # of a row; how far raw and tempered scores are from its middle
SCALES = {
    False: lines.Stroke(looks.colour(0), "", "all examples", "o"),
    True: lines.Stroke(looks.colour(1), "", "halves, tempered", "s"),
}
"""The looks of scores without and with a temperature."""

Differences = dict[str, dict[tuple[str, bool], ScoreDifference]]


class Difference(EnsembleView):
    """A panel for each score: by how much each ensemble is above the first one, with its paired standard error."""

    needs = "several ensembles that were scored on the same examples"
    caption = (
        "By how much the scores of each ensemble are above those of the first one, of all members on the same "
        "examples; below zero it is better. Bars are two standard errors, of the differences of the same examples."
    )
    rank = 15
    narrowest = 70 * MILLIMETRE

    def applies(self, ensembles: Ensembles) -> bool:
        return bool(_find(ensembles))

    def describe(self, ensembles: Ensembles) -> str:
        return f"{self.caption} First: {next(iter(ensembles))}."

    def draw(self, ensembles: Ensembles, style: Style) -> Figure:
        found = _find(ensembles)
        scores = list(dict.fromkeys(score for each in found.values() for score, _ in each))
        columns = 1 if style.is_narrower(figures.NARROW) else min(2, len(scores))
        down = -(-len(scores) // columns)
        height = HEAD + ROW * len(found)
        drawn = figures.figure(style, PANEL * max(2, columns), 0.7 + height * down)
        drawn.set_figheight(0.7 + height * down)
        for index, score in enumerate(scores):
            ax = drawn.add_subplot(down, columns, index + 1)
            _draw_panel(ax, found, score)
            ax.set_xlabel(figures.wrapped(f"difference of {find_label(ensembles, score)}", LABEL))
            ax.tick_params(labelleft=index % columns == 0)
        lost = [
            f"{name} in {find_label(ensembles, score)}"
            for name, each in found.items()
            for (score, _), one in each.items()
            if not math.isfinite(one.difference)
        ]
        tempered = {tempered for each in found.values() for _, tempered in each}
        figures.captioned(
            drawn,
            f"differences from {next(iter(ensembles))}; bars: two standard errors",
            f"not finite: {', '.join(dict.fromkeys(lost))}" * bool(lost),
            *list_differing(ensembles),
            keys=make_keys([SCALES[key] for key in sorted(tempered)]),
        )
        return drawn

    def describe_alternative(self, ensembles: Ensembles) -> str:
        said = [self.describe(ensembles)]
        for name, each in _find(ensembles).items():
            numbers = [
                f"{find_label(ensembles, score)}{' tempered' * tempered} {scales.number(one.difference)} with a "
                f"standard error of {scales.number(one.standard_error)}"
                for (score, tempered), one in each.items()
            ]
            said.append(f"{name}: {', '.join(numbers)}.")
        return " ".join(said)


def _find(ensembles: Ensembles) -> Differences:
    """Find the differences of all further ensembles from the first one."""
    (_, reference), *others = ensembles.items()
    return find_differences(dict(others), reference)


def _draw_panel(ax: Axes, found: Differences, score: str) -> None:
    ax.axvline(0, color=looks.GREY, linewidth=0.8, zorder=1, label=lines.UNNAMED)
    for place, each in zip(count(), found.values(), strict=False):
        for tempered, look in SCALES.items():
            one = each.get((score, tempered))
            if one is not None and math.isfinite(one.difference):
                ax.errorbar(
                    one.difference, place + (APART if tempered else -APART), xerr=2 * one.standard_error, fmt=look.mark,
                    color=look.colour, markersize=4, elinewidth=1.2, capsize=2, label=lines.UNNAMED,
                )  # fmt: skip
    ax.set_yticks(range(len(found)), [short(name) for name in found])
    ax.set_ylim(len(found) - 0.5, -0.5)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.tick_params(labelsize=8)
