"""Loss and accuracy of several surveys with one axis."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from lossatlas.views import data, figures, lines, looks, marks, scales
from lossatlas.views.networks import networks, short
from lossatlas.views.overlays._overlay import (
    OverlayView,
    Surveys,
    choose_fields,
    find_common_networks,
    join_labels,
    list_notes,
)
from lossatlas.views.style import SCALED, Style

__all__ = ["LinesTogether"]

WIDTH = 8.6  # inches


class LinesTogether(OverlayView):
    """Curves of several surveys, a colour for each: the loss solid, the accuracy dashed on a second axis."""

    needs = "one axis in all of them, and the loss or the accuracy in all"
    caption = "The loss (solid, left axis) and the accuracy (dashed, right axis) of several surveys along a line."
    rank = 10
    heeds = SCALED

    def applies(self, surveys: Surveys) -> bool:
        return all(len(data.axes(one)) == 1 for one in surveys.values()) and bool(_choose_common(surveys))

    def draw(self, surveys: Surveys, style: Style) -> Figure:
        common = _choose_common(surveys)
        drawn = figures.figure(style, WIDTH, 5.0)
        ax = drawn.add_subplot()
        colours = [looks.colour(index) for index in range(len(surveys))]
        notes, every = [], []
        for turn, (metric, fields) in enumerate(common.items()):
            side = ax if turn == 0 else ax.twinx()
            limits = style.limit([*fields.values()], log=metric == scales.LOSS)
            places = [lines.along(survey) for survey in surveys.values()]
            splits = {field.split for field in fields.values()}
            names = [short(name) if len(splits) == 1 else f"{short(name)} ({fields[name].split})" for name in fields]
            labels = names if turn == 0 else [lines.UNNAMED] * len(names)
            lines.curves(side, places, list(fields.values()), limits, colours, "-" if turn == 0 else "--", labels)
            if len(splits) == 1:
                side.set_ylabel(f"{next(iter(splits))} {side.get_ylabel()}".strip())
            notes.append(limits.note * (turn == 0))
            every += list(fields.values())
        ax.margins(x=0.02)
        ax.set_xlabel(join_labels([data.axis_label(survey, *data.axes(survey)) for survey in surveys.values()]))
        there = find_common_networks([networks(survey) for survey in surveys.values()])
        marks.mark_line(ax, there, 0.8 * drawn.get_figwidth())
        figures.captioned(
            drawn,
            f"solid: {next(iter(common))} (left), dashed: {list(common)[-1]} (right)" * (len(common) > 1),
            *notes,
            scales.invalid(np.concatenate([field.values for field in every])).describe(lines.MARKED),
            "bands: two standard errors above and below" * any(field.error is not None for field in every),
            *list_notes(surveys),
            keys=lines.keys(drawn),
        )
        return drawn


def _choose_common(surveys: Surveys) -> dict[str, dict[str, data.Field]]:
    """Choose the fields to show: loss and accuracy, where all surveys have them."""
    found = {metric: choose_fields(surveys, metric) for metric in (scales.LOSS, scales.ACCURACY)}
    return {metric: fields for metric, fields in found.items() if fields}
