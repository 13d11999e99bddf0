"""Scores of averaged predictions against the number of members."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.schema import InEnsemble
from lossatlas.views import figures, lines, looks, scales
from lossatlas.views.ensemble_data import (
    Ensembles,
    count_members,
    describe_ends,
    find_label,
    list_differing,
    list_scores,
    read_halves,
    read_values,
)
from lossatlas.views.ensembles._ensemble import (
    BANDS,
    WHOLE,
    Drawn,
    EnsembleView,
    draw_curves,
    lay_panels,
    list_names,
    make_keys,
    scale_counts,
)
from lossatlas.views.style import MILLIMETRE, Style

__all__ = ["Score"]

ON_HALVES = {
    (InEnsemble.GIVEN, InEnsemble.RAW): (0, ":", "halves"),
    (InEnsemble.GIVEN, InEnsemble.TEMPERED): (1, "-.", "halves, tempered"),
    (InEnsemble.GREEDY, InEnsemble.RAW): (0, "--", "halves, greedy order"),
    (InEnsemble.GREEDY, InEnsemble.TEMPERED): (1, "--", "halves, greedy, tempered"),
}
"""The colour, the style and the name of what is scored on halves, by order and scale."""


class Score(EnsembleView):
    """A panel for each score: on all examples, and on halves raw and tempered, in the given and in greedy order."""

    needs = "scores of averaged predictions, such as error and nll, by number of members"
    caption = (
        "The scores of the averaged predictions of so many members; lower is better. On halves, temperature and greedy "
        "order are chosen on one half of the examples, and the other half is scored."
    )
    rank = 10
    narrowest = 70 * MILLIMETRE

    def applies(self, ensembles: Ensembles) -> bool:
        return bool(list_scores(ensembles))

    def describe(self, ensembles: Ensembles) -> str:
        if len(ensembles) == 1:
            return self.caption
        return (
            "The scores of the averaged predictions of so many members; lower is better. Solid: on all examples; "
            "dashed: with a temperature that is chosen on one half of the examples, and the other half is scored. "
            f"Ensembles: {', '.join(ensembles)}."
        )

    def draw(self, ensembles: Ensembles, style: Style) -> Figure:
        scores = list_scores(ensembles)
        labels = [find_label(ensembles, score) for score in scores]
        drawn, placed, room = lay_panels(style, len(scores), "number of members")
        strokes, undefined, every = [], [], []
        for ax, score, label in zip(placed, scores, labels, strict=True):
            shown = list(_list_curves(ensembles, score))
            draw_curves([ax], figures.wrapped(label, room), [shown])
            scale_counts(ax, np.concatenate([one.at for one in shown]))
            strokes += [one.stroke for one in shown]
            every += [one.values[~np.isnan(one.values)] for one in shown]
            if any(np.isnan(one.values[one.at == 1]).any() for one in shown):
                undefined.append(label)
        figures.captioned(
            drawn,
            BANDS,
            f"not defined with one member: {', '.join(undefined)}" * bool(undefined),
            scales.invalid(np.concatenate(every)).describe(lines.MARKED),
            *list_differing(ensembles),
            keys=make_keys(strokes, whole_and_halves=len(ensembles) > 1),
        )
        return drawn

    def describe_alternative(self, ensembles: Ensembles) -> str:
        return " ".join([self.describe(ensembles), *describe_ends(ensembles, list_scores(ensembles))])


def _list_curves(ensembles: Ensembles, score: str) -> Iterator[Drawn]:
    """List the curves of a score: all of a single ensemble; of several the raw ones, and the tempered ones dashed."""
    if len(ensembles) == 1:
        (one,) = ensembles.values()
        yield _draw_whole(one, score, lines.Stroke(looks.colour(0), "-", WHOLE, "."))
        for (order, scale), (index, style, label) in ON_HALVES.items():
            yield from _draw_halves(one, score, order, scale, lines.Stroke(looks.colour(index), style, label))
        return
    for name, colour, one in list_names(ensembles):
        yield _draw_whole(one, score, lines.Stroke(colour, "-", name, "."))
        stroke = lines.Stroke(colour, "--", lines.UNNAMED)
        yield from _draw_halves(one, score, InEnsemble.GIVEN, InEnsemble.TEMPERED, stroke)


def _draw_whole(ensemble: xr.Dataset, score: str, stroke: lines.Stroke) -> Drawn:
    return Drawn(count_members(ensemble), *read_values(ensemble, score), stroke)


def _draw_halves(ensemble: xr.Dataset, score: str, order: str, scale: str, stroke: lines.Stroke) -> Iterator[Drawn]:
    if (found := read_halves(ensemble, score, order, scale)) is not None:
        yield Drawn(count_members(ensemble), found[0], None, stroke)
