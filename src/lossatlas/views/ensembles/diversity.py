"""How differently the members of ensembles predict, pair by pair and on average."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from lossatlas.schema import InEnsemble, parse_texts
from lossatlas.views import data, figures, lines
from lossatlas.views.ensemble_data import (
    Ensembles,
    count_members,
    describe_ends,
    find_label,
    has_values,
    list_differing,
    read_values,
)
from lossatlas.views.ensembles._ensemble import (
    Drawn,
    EnsembleView,
    draw_curves,
    list_names,
    make_keys,
    scale_counts,
)
from lossatlas.views.matrices import draw_matrix
from lossatlas.views.networks import short
from lossatlas.views.style import MILLIMETRE, Style

__all__ = ["Diversity"]

SHARES = {InEnsemble.DISAGREEMENT}
"""Quantities that are fractions, which matrices show in percent."""
NAMES = 1.4  # inches beside a matrix, and below it
SIDE, CELL = (2.6, 5.0), 0.42  # inches; of a matrix, and of one of its cells at most
PANEL, HEIGHT = 4.2, 2.4  # inches; of a panel of curves


class Diversity(EnsembleView):
    """A matrix of each quantity that compares two members, of a single ensemble; its mean over pairs of so many."""

    needs = "quantities that compare two members, such as disagreement or squared_difference"
    caption = (
        "How differently the members predict: matrices of all pairs, where these were compared, each with its own "
        "colour scale, and means over the pairs among so many members in the given order."
    )
    rank = 40
    whole = True
    narrowest = 80 * MILLIMETRE

    def applies(self, ensembles: Ensembles) -> bool:
        return bool(_list_matrices(ensembles) or _list_means(ensembles))

    def describe(self, ensembles: Ensembles) -> str:
        if len(ensembles) == 1:
            return self.caption
        return (
            "How differently the members predict: means over the pairs among so many members in the given order. "
            f"Ensembles: {', '.join(ensembles)}."
        )

    def draw(self, ensembles: Ensembles, style: Style) -> Figure:
        matrices, means = _list_matrices(ensembles), _list_means(ensembles)
        columns = 1 if style.is_narrower(figures.NARROW) else max(len(matrices), len(means))
        side = float(np.clip(CELL * max(one.sizes[InEnsemble.MEMBER] for one in ensembles.values()), *SIDE))
        if style.width is not None:
            side = min(side, style.width / columns - NAMES)
        rows = [-(-len(each) // columns) for each in (matrices, means)]
        heights = [side + NAMES] * rows[0] + [HEIGHT] * rows[1]
        drawn = figures.figure(style, max(side + NAMES, PANEL) * max(2, columns), sum(heights) + 0.4)
        if columns == 1:
            drawn.set_figheight(sum(heights) + 0.4)
        grid = drawn.add_gridspec(len(heights), columns, height_ratios=heights)
        for index, name in enumerate(matrices):
            ax = drawn.add_subplot(grid[index // columns, index % columns])
            (one,) = ensembles.values()
            names = [short(str(member)) for member in one[InEnsemble.MEMBER].values]
            label = data.label_variable(one, name)
            draw_matrix(ax, data.read_numbers(one, name), names, label, side, share=name in SHARES)
        strokes = []
        for index, name in enumerate(means):
            ax = drawn.add_subplot(grid[rows[0] + index // columns, index % columns])
            shown = [
                Drawn(count_members(one), *read_values(one, name), lines.Stroke(colour, "-", called, "."))
                for called, colour, one in list_names(ensembles)
                if has_values(one, name)
            ]
            draw_curves([ax], figures.wrapped(find_label(ensembles, name), HEIGHT - 0.4), [shown])
            scale_counts(ax, np.concatenate([each.at[np.isfinite(each.values)] for each in shown]))
            ax.set_xlabel("number of members")
            strokes += [each.stroke for each in shown]
        keys = make_keys(strokes) if len(ensembles) > 1 else []
        figures.captioned(drawn, *list_differing(ensembles), keys=keys)
        return drawn

    def describe_alternative(self, ensembles: Ensembles) -> str:
        return " ".join([self.describe(ensembles), *describe_ends(ensembles, _list_means(ensembles))])


def _list_pairwise(ensembles: Ensembles) -> list[str]:
    """List what was measured of every two members of some ensemble, each once."""
    return list(
        dict.fromkeys(name for one in ensembles.values() for name in parse_texts(one.attrs.get(InEnsemble.PAIRWISE)))
    )


def _list_matrices(ensembles: Ensembles) -> list[str]:
    """List what is known of pairs of members of a single ensemble; several have no members in common."""
    if len(ensembles) > 1:
        return []
    (one,) = ensembles.values()
    return [name for name in _list_pairwise(ensembles) if has_values(one, name)]


def _list_means(ensembles: Ensembles) -> list[str]:
    """List the means over pairs that are known of one ensemble at least."""
    names = [InEnsemble.mean(name) for name in _list_pairwise(ensembles)]
    return [name for name in names if any(has_values(one, name) for one in ensembles.values())]
