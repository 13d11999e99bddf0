"""On the chart of a run."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from lossatlas.charts import CoefficientChart, load_chart
from lossatlas.errors import BadInput, Caution, in_one_line
from lossatlas.files.reading import resolved
from lossatlas.files.stores import open_store
from lossatlas.recipes.base import AUTO, stated
from lossatlas.recipes.inputs import found_again
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.site import Box, Network, SiteKind, SurveySite, centre_fingerprint
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.rundir import CHART, SURVEY, RunDirectory
from lossatlas.schema import REPEAT, Corner
from lossatlas.surveying.store import whole_variables
from lossatlas.training import Trajectory
from lossatlas.training.start import starting_state
from lossatlas.training.weight_trajectory import WeightTrajectory
from lossatlas.weights.files import load_state

__all__ = ["OnChart"]


class OnChart(SiteKind):
    """The chart of a fit, a curve or another survey, and its picture's extent."""

    def build(self, config: SurveyConfig, base: ProblemRecipe) -> SurveySite:
        if config.directions or stated(config.repeats) > 1:
            raise BadInput("the chart of a run has its axes; leave out the directions and the repeats")
        run = RunDirectory(stated(config.run))
        run.check("give a run of fit or survey, or survey a --checkpoint")
        if not (run.path / CHART).is_file():
            raise BadInput(f"{run.path} holds no chart; give a run of fit or survey, or survey a --checkpoint")
        chart = load_chart(run.path / CHART)
        if not isinstance(chart, CoefficientChart) or chart.dimension != base.space.size:
            raise BadInput(
                f"the chart in {run.path} lies in R^{chart.dimension}, the model's weights in R^{base.space.size}; "
                "choose the model and options it was made with"
            )
        made = _maker(run)
        stored = found_again(made, needed={"checkpoint", "between", "trajectory"})
        notes = _bring(base, stored)
        _check_centre(base, made)
        boxes, labels, networks = _shown(run.path / SURVEY, chart)
        return SurveySite(
            chart=chart,
            labels=labels,
            boxes=boxes,
            networks=networks,
            buffers=_buffers(stored),
            notes=notes,
            fingerprints={"chart": chart.fingerprint()},
        )


def _maker(run: RunDirectory) -> RunDirectory:
    """The run that made the chart: one that surveyed the chart of another has it from there."""
    given, seen = run.path, {resolved(run.path)}
    while before := found_again(run, needed={"run"}).get("run"):
        run = RunDirectory(str(before))
        if resolved(run.path) in seen:
            raise BadInput(f"the charts of {given} and {run.path} are said to be each other's; make one anew")
        seen.add(resolved(run.path))
    return run


def _bring(base: ProblemRecipe, stored: dict[str, object]) -> tuple[str, ...]:
    """Bring the module to the network that the run's chart lies around, for what is the same at all its points.

    Returns:
        What somebody should know of the file that the network is in.
    """
    between = stored.get("between") or ()
    spec = stored.get("checkpoint") or (between[0] if isinstance(between, list) and between else None)
    if spec:
        return load_state(base.problem.module, starting_state(str(spec)), f"checkpoint {spec}")
    if folder := stored.get("trajectory"):
        snapshots = WeightTrajectory(Trajectory.of(Path(str(folder))), base.space).snapshots
        load_state(base.problem.module, snapshots[-1].state(), f"the end of {folder}")
    return ()


def _check_centre(base: ProblemRecipe, made: RunDirectory) -> None:
    """Refuse a network that is not the one any more that the chart was site around.

    Raises:
        BadInput: its weights or its statistics have changed.
    """
    known = made.provenance().fingerprints.get("centre")
    if known is not None and known != centre_fingerprint(base.problem.module):
        raise BadInput(
            f"the network that {made.path} was made of has changed since, so its chart does not lie around it now; "
            "make that run anew"
        )


def _buffers(stored: dict[str, object]) -> str | None:
    """The policy that a run states; None where it has what is usual."""
    policies = (str(stored.get(name, AUTO)) for name in ("survey_buffers", "buffers"))
    return next((policy for policy in policies if policy != AUTO), None)


def _shown(store: Path, chart: CoefficientChart) -> tuple[dict[str, Box], dict[str, str], tuple[Network, ...]]:
    """The extent, the labels and the networks of the run's own survey, if it has one."""
    usual: dict[str, Box] = dict.fromkeys(chart.axes, (-1.0, 1.0))
    if not store.exists():
        return usual, {}, ()
    try:
        survey = open_store(store)
    except BadInput as error:  # the chart is whole all the same
        warnings.warn(
            f"{error}; what it covered is not known, so each axis goes from -1 to 1 unless --range or --at say "
            "otherwise",
            Caution,
            stacklevel=2,
        )
        return usual, {}, ()
    coords = _values(store, survey, chart.axes)
    boxes = {axis: (float(ends[0]), float(ends[-1])) for axis, ends in coords.items()}
    labels = {axis: str(survey[axis].attrs.get("long_name", axis)) for axis in chart.axes}
    own = [axis for axis in chart.axes if axis != REPEAT]
    corners = [Corner.coordinate(axis) for axis in own]
    if not set(corners) <= whole_variables(survey):  # there are none, or it was interrupted
        return boxes, labels, ()
    along = _values(store, survey, corners)
    names = survey[corners[0]].attrs.get("names")
    if not isinstance(names, list) or any(len(values) != len(names) for values in along.values()):
        raise _damaged(store, f"{corners[0]} does not name its networks")
    points = np.stack([*along.values()], axis=1)
    # Networks lie in all repeats alike, or in the first.
    whole = np.concatenate([points, np.zeros((len(points), len(chart.axes) - len(own)))], axis=1)
    with torch.no_grad():
        weights = chart.points(torch.tensor(whole))
    networks = zip(map(str, names), points.tolist(), weights, strict=True)
    return boxes, labels, tuple(Network(name, tuple(place), vector) for name, place, vector in networks)


def _values(store: Path, survey: xr.Dataset, names: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
    """Variables of one dimension, (length,) each.

    Raises:
        BadInput: one is damaged, or is something else.
    """
    try:
        found = {name: np.asarray(survey[name].values, dtype=np.float64) for name in names}
    except Exception as error:  # zarr has many ways to find an array damaged
        raise _damaged(store, in_one_line(error)) from error
    for name, values in found.items():
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise _damaged(store, f"{name} holds something else than numbers along one axis")
    return found


def _damaged(store: Path, reason: str) -> BadInput:
    return BadInput(f"{store} is damaged ({reason}); continue its run with --resume, or make it anew")
