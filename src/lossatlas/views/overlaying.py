"""Several surveys on shared axes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from lossatlas.errors import BadInput
from lossatlas.views import data, scales
from lossatlas.views.files import write_pngs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["overlay"]


def overlay(surveys: Mapping[str, xr.Dataset], out: Path | str | None = None, title: str = "") -> dict[str, Figure]:
    """Draw several surveys on shared axes, and write ``overlay_*.png`` files if a directory is given.

    Surveys with one axis share one picture, ``overlay_line``: losses solid, accuracies dashed on a second axis, one
    colour per survey. Surveys with two axes stand side by side with one colour scale and the same contours:
    ``overlay_loss`` and ``overlay_accuracy``, each where all surveys have it; axes have the same limits where their
    units agree. Of each survey the test split is shown, or else a split that all have, or else its first; of several
    draws the first.

    Args:
        surveys: by the names that the pictures show.
        out: a directory for the files, made if need be; each file appears whole or not at all.
        title: a title for every picture.

    Returns:
        Matplotlib figures by name.

    Raises:
        BadInput: there is no survey, surveys differ in the number of axes, have three axes or more, or have neither
            loss nor accuracy in common.
    """
    from lossatlas.views import overlays

    if not surveys:
        raise BadInput("there is no survey to draw; give one at least")
    given = {name: data.take_first_sample(survey) for name, survey in surveys.items()}
    axes = {name: data.axes(survey) for name, survey in given.items()}
    if len({len(order) for order in axes.values()}) > 1:
        told = ", ".join(f"{name!r} has {len(order)} ({', '.join(order)})" for name, order in axes.items())
        raise BadInput(f"surveys on shared axes must have as many axes as each other: {told}; draw them by themselves")
    count = len(next(iter(axes.values())))
    if count not in (1, 2):
        raise BadInput(
            f"surveys can share pictures with one axis or two, and these have {count}; draw them by themselves"
        )
    if count == 2:
        _check_between(given)
    common = {metric: chosen for metric in (scales.LOSS, scales.ACCURACY) if (chosen := _chosen(given, metric))}
    if not common:
        raise BadInput(f"surveys {', '.join(map(repr, given))} have neither loss nor accuracy in common; survey one")
    if count == 1:
        drawn = {"overlay_line": overlays.lines_of(given, common, title)}
    else:
        drawn = {f"overlay_{metric}": overlays.planes_of(given, chosen, title) for metric, chosen in common.items()}
    if out is not None:
        write_pngs(drawn, out)
    return drawn


def _check_between(surveys: Mapping[str, xr.Dataset]) -> None:
    for name, survey in surveys.items():
        if min(survey.sizes[axis] for axis in data.axes(survey)) < 2:
            raise BadInput(f"survey {name!r} has a single point along an axis; contours take two at least")


def _chosen(surveys: Mapping[str, xr.Dataset], metric: str) -> dict[str, data.Field]:
    """One field of a metric per survey, of one split if they have one in common; empty if a survey has none."""
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
