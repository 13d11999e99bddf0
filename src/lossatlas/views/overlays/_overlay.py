"""What pictures of several surveys share: the choice of a field of each survey, and notes for captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lossatlas.errors import BadInput
from lossatlas.views import data, figures, scales
from lossatlas.views.base import StillView
from lossatlas.views.contours import Maps, contour_maps
from lossatlas.views.kinds._splits import panel_of
from lossatlas.views.networks import Networks, short
from lossatlas.views.style import Style

__all__ = [
    "OverlayView",
    "Surveys",
    "check_together",
    "choose_fields",
    "draw_planes",
    "find_common_networks",
    "join_labels",
    "list_notes",
]

Surveys = Mapping[str, xr.Dataset]
"""Several surveys, by the names that pictures show."""


class OverlayView(StillView[Surveys]):
    """A kind of picture of several surveys on shared axes, which shows the first repeat of each."""

    subject = "set of surveys"

    def prepare(self, subject: Surveys) -> Surveys:
        return {name: data.take_first_sample(survey) for name, survey in subject.items()}

    def describe(self, surveys: Surveys) -> str:
        return f"{self.caption} Surveys: {', '.join(surveys)}."

    def list_contents(self, subject: Surveys) -> str:
        return (
            f"surveys {', '.join(subject)} with axes {'; '.join(', '.join(data.axes(one)) for one in subject.values())}"
        )

    def describe_alternative(self, surveys: Surveys) -> str:
        texts = [
            f"{name}: {data.describe_extremes(survey, data.fields(survey, self.metric))}"
            for name, survey in surveys.items()
        ]
        return " ".join([self.caption, *texts])


def check_together(surveys: Surveys) -> None:
    """Refuse surveys that cannot be shown on shared axes.

    Raises:
        BadInput: the mapping is empty, the surveys differ in the number of axes, have three axes or more, or have
            neither loss nor accuracy in common.
    """
    if not surveys:
        raise BadInput("the mapping of surveys is empty; give at least one survey")
    given = {name: data.take_first_sample(survey) for name, survey in surveys.items()}
    axes = {name: data.axes(survey) for name, survey in given.items()}
    if len({len(order) for order in axes.values()}) > 1:
        counts = ", ".join(f"{name!r} has {len(order)} ({', '.join(order)})" for name, order in axes.items())
        raise BadInput(f"surveys on shared axes have different numbers of axes: {counts}; draw each by itself")
    count = len(next(iter(axes.values())))
    if count not in (1, 2):
        raise BadInput(f"surveys on shared axes have {count} axes; expected one or two; draw each by itself")
    if count == 2:
        _check_between(given)
    if not any(choose_fields(given, metric) for metric in (scales.LOSS, scales.ACCURACY)):
        raise BadInput(
            f"surveys {', '.join(map(repr, given))} have neither loss nor accuracy in common; measure one in all"
        )


def _check_between(surveys: Surveys) -> None:
    for name, survey in surveys.items():
        if min(survey.sizes[axis] for axis in data.axes(survey)) < 2:
            raise BadInput(
                f"survey {name!r} has a single point along an axis; expected two or more for contours; use a finer grid"
            )


def choose_fields(surveys: Surveys, metric: str) -> dict[str, data.Field]:
    """Choose a field of a metric per survey, of one split where all have it; empty if a survey lacks the metric."""
    found = {name: {field.split: field for field in data.fields(survey, metric)} for name, survey in surveys.items()}
    if not all(found.values()):
        return {}
    first, *rest = (list(splits) for splits in found.values())
    common = [split for split in first if all(split in splits for splits in rest)]
    split = "test" if "test" in common else next(iter(common), None)
    return {
        name: splits[split] if split is not None else data.preferred(list(splits.values()))
        for name, splits in found.items()
    }


def draw_planes(style: Style, surveys: Surveys, metric: str) -> Figure:
    """Draw filled contours of one metric of all surveys side by side, with one scale and the same levels."""
    fields = choose_fields(surveys, metric)
    first = next(iter(fields.values()))
    limits = style.limit([*fields.values()], log=first.metric == scales.LOSS)
    splits = {field.split for field in fields.values()}
    alike = len(splits) == 1
    panels = [
        panel_of(survey, fields[name], short(name) if alike else f"{short(name)}, {fields[name].split}")
        for name, survey in surveys.items()
    ]
    palette = figures.ACCURACY if first.metric == scales.ACCURACY else figures.LOSS
    return contour_maps(
        style,
        [
            Maps(
                panels,
                limits,
                style.colour(palette, metric),
                f"{first.split * alike} {first.scale_label(limits)}".strip(),
            )
        ],
        filled=True,
        shared=len({_units(survey) for survey in surveys.values()}) == 1,
        notes=list_notes(surveys),
    )


def _units(survey: xr.Dataset) -> tuple[str, ...]:
    return tuple(data.axis_units(survey, axis) for axis in data.axes(survey))


def join_labels(labels: Sequence[str]) -> str:
    """Join labels of all surveys, each different one once."""
    return " / ".join(dict.fromkeys(labels))


def find_common_networks(each: Sequence[Networks]) -> Networks:
    """Find the networks with the same coordinates in all surveys, with all their names; empty if coordinates differ."""
    first, *rest = each
    if all(len(one) == len(first) and np.allclose(one.at, first.at) for one in rest):
        names = zip(*(one.names for one in each), strict=True)
        return Networks(tuple(join_labels(called) for called in names), first.at)
    return Networks((), np.empty((0, first.at.shape[1])))


def list_notes(surveys: Surveys) -> list[str]:
    """List the notes on each survey with its name, and a note if the surveys were measured on different examples."""
    found = [f"{short(name)}: {', '.join(notes)}" for name, survey in surveys.items() if (notes := data.notes(survey))]
    examples: dict[str, set[str]] = {}
    for survey in surveys.values():
        for variable in survey.data_vars.values():
            if "split" in variable.attrs and "data_hash" in variable.attrs:
                examples.setdefault(variable.attrs["split"], set()).add(variable.attrs["data_hash"])
    differ = [split for split, hashes in examples.items() if len(hashes) > 1]
    return [*found, *(f"{split} examples differ between the surveys" for split in differ)]
