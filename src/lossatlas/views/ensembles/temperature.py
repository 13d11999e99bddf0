"""The temperatures that were fitted to averaged predictions, against the number of members."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lossatlas.schema import InEnsemble
from lossatlas.views import data, figures, lines, looks, scales
from lossatlas.views.ensemble_data import Ensembles, count_members, find_label, has_values, list_differing
from lossatlas.views.ensembles._ensemble import (
    Drawn,
    EnsembleView,
    draw_curves,
    lay_panels,
    list_names,
    make_keys,
    scale_counts,
)
from lossatlas.views.scales import Floats
from lossatlas.views.style import MILLIMETRE, Style

__all__ = ["Temperature"]

STYLES = {InEnsemble.GIVEN: "-", InEnsemble.GREEDY: "--"}


class Temperature(EnsembleView):
    """The geometric mean of the temperatures of all halves, with their range, for each order of members."""

    needs = "temperatures that were fitted on halves of the examples"
    caption = (
        "The temperatures by which logarithms of averaged probabilities are divided (of regressions the factors on the "
        "standard deviation), fitted on one half of the examples: above 1 predictions are too confident. Lines are "
        "geometric means over the halves, bands reach from the lowest to the highest, and crosses are at numbers of "
        "members of which some temperature is at a bound."
    )
    rank = 50
    narrowest = 70 * MILLIMETRE

    def applies(self, ensembles: Ensembles) -> bool:
        return any(has_values(one, InEnsemble.TEMPERATURE) for one in ensembles.values())

    def draw(self, ensembles: Ensembles, style: Style) -> Figure:
        drawn, (ax,), _ = lay_panels(style, 1, "number of members")
        shown, strokes = [], []
        for stroke, counts, fitted, bound in _list_fitted(ensembles):
            middle = np.exp(np.log(fitted).mean(1))
            low, high = fitted.min(1), fitted.max(1)
            ax.fill_between(counts, low, high, color=stroke.colour, alpha=0.15, linewidth=0, label=lines.UNNAMED)
            ax.plot(counts[bound], middle[bound], "x", color=stroke.colour, markersize=7, zorder=5, label=lines.UNNAMED)
            shown += [
                Drawn(counts, each, None, lines.Stroke(stroke.colour, " ", lines.UNNAMED)) for each in (low, high)
            ]
            shown.append(Drawn(counts, middle, None, stroke))
            strokes.append(stroke)
        label = find_label(ensembles, InEnsemble.TEMPERATURE)
        draw_curves([ax], label, [shown])
        scale_counts(ax, np.concatenate([one.at for one in shown]))
        ax.axhline(1, color=looks.GREY, linewidth=0.8, zorder=1, label=lines.UNNAMED)
        figures.captioned(drawn, *_list_bounds(ensembles), *list_differing(ensembles), keys=make_keys(strokes))
        return drawn

    def describe_alternative(self, ensembles: Ensembles) -> str:
        said = [self.describe(ensembles)]
        for stroke, counts, fitted, _ in _list_fitted(ensembles):
            ends = [
                f"{scales.number(float(fitted[k].min()))} to {scales.number(float(fitted[k].max()))} with "
                f"{counts[k]:.0f} of the members"
                for k in dict.fromkeys((0, len(counts) - 1))
            ]
            said.append(f"{stroke.label}: {', '.join(ends)}.")
        return " ".join(said)


def _list_fitted(ensembles: Ensembles) -> Iterator[tuple[lines.Stroke, Floats, Floats, NDArray[np.bool_]]]:
    """List the look, the counts (n,) and the temperatures (n, halves) of each order, and which are at a bound (n,).

    Of several ensembles it is the first order alone. Numbers of members without temperatures are left out.
    """
    for name, colour, one in list_names(ensembles):
        if not has_values(one, InEnsemble.TEMPERATURE):
            continue
        orders = [str(order) for order in one[InEnsemble.ORDER].values]
        for index, order in enumerate(orders if len(ensembles) == 1 else orders[:1]):
            own = one.sel({InEnsemble.ORDER: order})
            kept = own[InEnsemble.TEMPERATURE].transpose(InEnsemble.COUNT, InEnsemble.HALVING, InEnsemble.HALF)
            fitted = np.asarray(kept.values, dtype=np.float64).reshape(own.sizes[InEnsemble.COUNT], -1)
            there = np.isfinite(fitted).all(1)
            look = lines.Stroke(colour, "-", name, ".")
            if len(ensembles) == 1:
                look = lines.Stroke(looks.colour(index), STYLES.get(order, ":"), f"{order} order", ".")
            bound = data.read_numbers(own, InEnsemble.AT_BOUND)[there] > 0
            yield look, count_members(own)[there], fitted[there], bound


def _list_bounds(ensembles: Ensembles) -> Iterator[str]:
    """Notes on how many temperatures of an ensemble are at a bound."""
    for name, one in ensembles.items():
        if InEnsemble.AT_BOUND in one and (found := int(np.nansum(one[InEnsemble.AT_BOUND].values))):
            low, high = (
                scales.number(float(one.attrs[end]))
                for end in (InEnsemble.TEMPERATURE_LOW, InEnsemble.TEMPERATURE_HIGH)
            )
            number = np.isfinite(one[InEnsemble.TEMPERATURE].values).sum()
            yield f"{f'{name}: ' * (len(ensembles) > 1)}{found} of {number} at a bound, {low} or {high}"
