"""How several surveys are drawn on shared axes; which, and of which split, is decided in :mod:`.overlaying`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import data, figures, lines, looks, marks, scales
from lossatlas.views.contours import Maps, contour_maps
from lossatlas.views.kinds._splits import panel_of
from lossatlas.views.networks import Networks, networks, short

__all__ = ["lines_of", "planes_of"]

WIDTH = 8.6  # inches


def lines_of(surveys: Mapping[str, xr.Dataset], common: Mapping[str, Mapping[str, data.Field]], title: str) -> Figure:
    """Curves of all surveys: the first metric of ``common`` solid, the second dashed on an axis of its own."""
    drawn = figures.figure(WIDTH, 5.0, title)
    ax = drawn.add_subplot()
    colours = [looks.colour(index) for index in range(len(surveys))]
    notes, every = [], []
    for turn, (metric, fields) in enumerate(common.items()):
        side = ax if turn == 0 else ax.twinx()
        limits = data.limits_of([*fields.values()], log=metric == scales.LOSS)
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
    ax.set_xlabel(_together([data.axis_label(survey, *data.axes(survey)) for survey in surveys.values()]))
    there = _agreed([networks(survey) for survey in surveys.values()])
    marks.mark_line(ax, there, 0.8 * WIDTH)
    figures.captioned(
        drawn,
        f"solid: {next(iter(common))} (left), dashed: {list(common)[-1]} (right)" * (len(common) > 1),
        *notes,
        scales.invalid(np.concatenate([field.values for field in every])).told(lines.MARKED),
        "bands: two standard errors either way" * any(field.error is not None for field in every),
        *_notes(surveys),
        keys=lines.keys(drawn),
    )
    return drawn


def planes_of(surveys: Mapping[str, xr.Dataset], fields: Mapping[str, data.Field], title: str) -> Figure:
    """Filled contours of one metric of all surveys side by side, with one scale and the same levels."""
    first = next(iter(fields.values()))
    limits = data.limits_of([*fields.values()], log=first.metric == scales.LOSS)
    splits = {field.split for field in fields.values()}
    alike = len(splits) == 1
    panels = [
        panel_of(survey, fields[name], short(name) if alike else f"{short(name)}, {fields[name].split}")
        for name, survey in surveys.items()
    ]
    palette = figures.ACCURACY if first.metric == scales.ACCURACY else figures.LOSS
    return contour_maps(
        [Maps(panels, limits, palette, f"{first.split * alike} {first.scale_label(limits)}".strip())],
        filled=True,
        shared=len({_units(survey) for survey in surveys.values()}) == 1,
        title=title,
        notes=_notes(surveys),
    )


def _units(survey: xr.Dataset) -> tuple[str, ...]:
    return tuple(data.axis_units(survey, axis) for axis in data.axes(survey))


def _together(labels: Sequence[str]) -> str:
    """One label for all if they agree; otherwise each of them once."""
    return " / ".join(dict.fromkeys(labels))


def _agreed(each: Sequence[Networks]) -> Networks:
    """The networks that are at the same places in all surveys, by all names that they have there; none otherwise."""
    first, *rest = each
    if all(len(one) == len(first) and np.allclose(one.at, first.at) for one in rest):
        names = zip(*(one.names for one in each), strict=True)
        return Networks(tuple(_together(called) for called in names), first.at)
    return Networks((), np.empty((0, first.at.shape[1])))


def _notes(surveys: Mapping[str, xr.Dataset]) -> list[str]:
    """What captions say of each survey, with its name; and that they are of other examples, where they are."""
    told = [f"{short(name)}: {', '.join(notes)}" for name, survey in surveys.items() if (notes := data.notes(survey))]
    examples: dict[str, set[str]] = {}
    for survey in surveys.values():
        for variable in survey.data_vars.values():
            if "split" in variable.attrs and "data_hash" in variable.attrs:
                examples.setdefault(variable.attrs["split"], set()).add(variable.attrs["data_hash"])
    differ = [split for split, found in examples.items() if len(found) > 1]
    return [*told, *(f"not the same {split} examples in all of them" for split in differ)]
