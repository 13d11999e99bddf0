"""Surveys on the chart of a run."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from lossatlas.charts import Chart
from lossatlas.errors import BadInput, Caution, format_error
from lossatlas.files.stores import open_store
from lossatlas.recipes.base import require
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.site import Box, Network, SiteKind, SurveySite
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.rundir import SURVEY
from lossatlas.schema import REPEAT, Corner, parse_texts
from lossatlas.surveying.store import list_whole_variables

__all__ = ["OnChart"]


class OnChart(SiteKind):
    """The chart of a fit, a curve or another survey, with the extent of its picture."""

    def build(self, config: SurveyConfig, base: ProblemRecipe) -> SurveySite:
        if config.directions or require(config.repeats) > 1:
            raise BadInput("the chart of a run has axes of its own; leave out the directions and the repeats")
        run = OpenedRun(require(config.run), "give a run of fit or survey, or survey a --checkpoint")
        chart = run.chart
        if chart.dimension != base.space.size:
            raise BadInput(
                f"the chart in {run.path} has {chart.dimension:,} dimensions and the model {base.space.size:,} "
                "parameters; choose the model and options it was made with"
            )
        notes, buffers = run.maker.place_module(base), run.maker.stated_buffers
        boxes, networks = _shown(run.path / SURVEY, chart)
        return SurveySite(
            chart=chart,
            boxes=boxes,
            networks=networks,
            buffers=base.settle_buffers(buffers) if buffers is not None else None,
            notes=notes,
            fingerprints={"chart": chart.fingerprint()},
        )


def _shown(store: Path, chart: Chart) -> tuple[dict[str, Box], tuple[Network, ...]]:
    """The extent and the networks of the run's own survey, if it has one."""
    usual: dict[str, Box] = dict.fromkeys(chart.axes, (-1.0, 1.0))
    if not store.exists():
        return usual, ()
    try:
        survey = open_store(store)
    except BadInput as error:  # the chart itself is intact
        warnings.warn(
            f"{error}; its extent is not known, so each axis goes from -1 to 1 unless --range or --at state "
            "another one",
            Caution,
            stacklevel=2,
        )
        return usual, ()
    coords = _values(store, survey, chart.axes)
    boxes = {axis: (float(ends[0]), float(ends[-1])) for axis, ends in coords.items()}
    own = [axis for axis in chart.axes if axis != REPEAT]
    corners = [Corner.coordinate(axis) for axis in own]
    if not set(corners) <= list_whole_variables(survey):  # there are none, or it was interrupted
        return boxes, ()
    along = _values(store, survey, corners)
    names = parse_texts(survey[corners[0]].attrs.get("names"))
    if any(len(values) != len(names) for values in along.values()):
        raise _damaged(store, f"{corners[0]} does not name its networks")
    points = np.stack([*along.values()], axis=1)
    # Networks have the same coordinates in all repeats, or are stored for the first.
    whole = np.concatenate([points, np.zeros((len(points), len(chart.axes) - len(own)))], axis=1)
    with torch.no_grad():
        weights = chart.points(torch.tensor(whole))
    networks = zip(names, points.tolist(), weights, strict=True)
    return boxes, tuple(Network(name, tuple(place), vector) for name, place, vector in networks)


def _values(store: Path, survey: xr.Dataset, names: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
    """Read variables of one dimension, (length,) each.

    Raises:
        BadInput: a variable is damaged or has another form.
    """
    try:
        found = {name: np.asarray(survey[name].values, dtype=np.float64) for name in names}
    except Exception as error:  # zarr has many ways to find an array damaged
        raise _damaged(store, format_error(error)) from error
    for name, values in found.items():
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise _damaged(store, f"{name} does not hold numbers along one axis")
    return found


def _damaged(store: Path, reason: str) -> BadInput:
    return BadInput(f"{store} is damaged ({reason}); resume its run with --resume, or carry it out again")
