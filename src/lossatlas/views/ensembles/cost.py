"""Scores of averaged predictions against what so many members cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from lossatlas.describing import BYTE_UNITS
from lossatlas.schema import InEnsemble
from lossatlas.views import data, figures, lines, scales
from lossatlas.views.ensemble_data import (
    COSTS,
    Ensembles,
    describe_ends,
    find_label,
    has_values,
    list_costs,
    list_differing,
    list_scores,
    read_halves,
    read_values,
)
from lossatlas.views.ensembles._ensemble import BANDS, Drawn, EnsembleView, draw_curves, list_names, make_keys
from lossatlas.views.scales import Floats
from lossatlas.views.style import MILLIMETRE, Style

__all__ = ["Cost"]

PANEL, HEIGHT = 3.0, 2.3  # inches
LEAST, LOWEST = 1.25, 3.6  # inches; the heights of a panel of a narrow figure, and of all of its rows
EVEN = 3.0  # the ratio of largest to smallest cost up to which the axis is linear
TICKS = 2.4  # to an inch, with their labels


class Cost(EnsembleView):
    """A row for each score and a column for each cost: passes of training, bytes held, evaluations."""

    needs = "scores, and what so many members cost (training_passes, bytes or evaluations)"
    caption = (
        "The scores of the averaged predictions against what the members cost, to the left is cheaper and below is "
        "better: points of a line are numbers of members in the given order, the largest mark all of them. Solid: on "
        "all examples; dashed: with a temperature that is chosen on one half of the examples, and the other half is "
        "scored."
    )
    rank = 20
    whole = True
    narrowest = 80 * MILLIMETRE

    def applies(self, ensembles: Ensembles) -> bool:
        return bool(list_scores(ensembles) and list_costs(ensembles))

    def draw(self, ensembles: Ensembles, style: Style) -> Figure:
        scores, costs = list_scores(ensembles), list_costs(ensembles)
        narrow = style.is_narrower(figures.NARROW)
        drawn = figures.figure(style, 1.0 + PANEL * len(costs), 0.9 + HEIGHT * len(scores))
        if narrow:
            drawn.set_figheight(1.0 + max(LEAST * len(scores), LOWEST))
        room = (drawn.get_figwidth() - 0.7) / len(costs), (drawn.get_figheight() - 1.0) / len(scores)
        grid: list[list[Axes]] = []
        every: list[Drawn] = []
        for row, score in enumerate(scores):
            axes: list[Axes] = []
            for column in range(len(costs)):
                place = row * len(costs) + column + 1
                above, beside = grid[0][column] if row else None, axes[0] if column else None
                axes.append(drawn.add_subplot(len(scores), len(costs), place, sharex=above, sharey=beside))
            grid.append(axes)
            shown = [_list_curves(ensembles, score, cost) for cost in costs]
            draw_curves(axes, figures.wrapped(find_label(ensembles, score), room[1] - 0.2), shown)
            for ax, curves in zip(axes, shown, strict=True):
                _mark_whole(ax, curves)
                ax.tick_params(labelsize=8, labelleft=ax is axes[0], labelbottom=row == len(scores) - 1)
            every += [one for curves in shown for one in curves]
        for column, cost in enumerate(costs):
            found = np.concatenate([one.at for one in _list_curves(ensembles, scores[0], cost)])
            _scale_cost(grid[0][column], found, room[0])
            grid[-1][column].set_xlabel(figures.wrapped(_choose_unit(ensembles, cost)[1], room[0]))
        figures.captioned(
            drawn,
            BANDS,
            *_list_unknown(ensembles),
            scales.invalid(np.concatenate([one.values[~np.isnan(one.values)] for one in every])).describe(lines.MARKED),
            *list_differing(ensembles),
            keys=make_keys([one.stroke for one in every] * (len(ensembles) > 1), whole_and_halves=True),
        )
        return drawn

    def describe_alternative(self, ensembles: Ensembles) -> str:
        told = describe_ends(ensembles, [*list_scores(ensembles), *list_costs(ensembles)])
        return " ".join([self.describe(ensembles), *told])


def _list_curves(ensembles: Ensembles, score: str, cost: str) -> list[Drawn]:
    found = []
    unit, _ = _choose_unit(ensembles, cost)
    for name, colour, one in list_names(ensembles):
        if not has_values(one, cost):
            continue
        at = data.read_numbers(one, cost) / unit
        known = np.isfinite(at)
        stroke, dashed = lines.Stroke(colour, "-", name, "."), lines.Stroke(colour, "--", lines.UNNAMED)
        for curve, look in (
            (read_values(one, score), stroke), (read_halves(one, score, InEnsemble.GIVEN, InEnsemble.TEMPERED), dashed)
        ):  # fmt: skip
            if curve is not None:
                values, error = curve
                band = error[known] if error is not None and look.mark else None
                found.append(Drawn(at[known], values[known], band, look))
    return found


def _choose_unit(ensembles: Ensembles, cost: str) -> tuple[float, str]:
    """Choose how many of its units the axis of a cost counts as one, and label it; of bytes kB, MB or GB."""
    if cost != InEnsemble.BYTES:
        return 1.0, find_label(ensembles, cost)
    least = min(float(np.nanmin(one[cost].values)) for one in ensembles.values() if has_values(one, cost))
    unit = next(unit for unit in reversed(BYTE_UNITS) if least >= BYTE_UNITS[unit] or BYTE_UNITS[unit] == 1)
    words = next(str(one[cost].attrs.get("long_name", cost)) for one in ensembles.values() if cost in one)
    return float(BYTE_UNITS[unit]), f"{words} ({unit})"


def _mark_whole(ax: Axes, curves: Sequence[Drawn]) -> None:
    """Mark all members of an ensemble, at the end of its solid line."""
    for one in curves:
        there = np.flatnonzero(np.isfinite(one.values))
        if one.stroke.mark and there.size:
            end = there[-1:]
            ax.plot(one.at[end], one.values[end], "o", color=one.stroke.colour, markersize=5.5, label=lines.UNNAMED)


def _scale_cost(ax: Axes, found: Floats, inches: float) -> None:
    """Set the horizontal axis of a column, logarithmic where costs are wide apart."""
    low, high = float(found.min()), float(found.max())
    if low > 0 and high > EVEN * low:
        ax.set_xscale("log")
        pad = (high / low) ** 0.06
        ax.set_xlim(low / pad, high * pad)
        ax.xaxis.set_major_locator(FixedLocator(figures.thin(scales.log_ticks(low, high), inches)))
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        ax.margins(x=0.06)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=max(2, int(TICKS * inches)), min_n_ticks=1))
    ax.xaxis.set_major_formatter(FuncFormatter(figures.tick_text))


def _list_unknown(ensembles: Ensembles) -> Iterator[str]:
    """Notes on the ensembles of which a cost is not known, which are not in its column."""
    for cost in COSTS:
        lost = [name for name, one in ensembles.items() if not has_values(one, cost)]
        if lost:
            of = "" if len(ensembles) == 1 else f" of {', '.join(lost)}"
            yield f"{cost.replace('_', ' ')} not known{of}"
