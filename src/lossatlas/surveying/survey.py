"""The survey: metrics on a grid of a chart, for several splits, tile by tile."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from lossatlas import schema
from lossatlas.bounds import check_arguments
from lossatlas.charts import Chart, RepeatedSlice
from lossatlas.curvatures import CurvatureSettings
from lossatlas.data import Split, name_splits
from lossatlas.engine import (
    EVAL_BATCH_SIZE,
    BuffersPolicy,
    Metric,
    Plan,
    StreamingMetric,
    choose_policy,
    engine_for,
    find_device,
)
from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.metrics import choose_metrics
from lossatlas.pictures import Raster
from lossatlas.problem import Problem
from lossatlas.progress import count_towards, show_progress
from lossatlas.surveying.arrays import Grid
from lossatlas.surveying.distorting import put_distortion
from lossatlas.surveying.probe import PROBE
from lossatlas.surveying.refinement import Refinement
from lossatlas.surveying.store import SurveyStore, glance_at
from lossatlas.surveying.surveyor import Surveyor
from lossatlas.types import Source
from lossatlas.weights import WeightSpace

__all__ = [
    "make_grid",
    "make_refinement",
    "put_target",
    "survey",
]

TRAIN = "train"
"""The split that statistics are estimated from where there is one."""
PLAN = "plan"
"""The attribute of a store that holds the plan of its writers, as JSON."""


def make_grid(chart: Chart, counts: Sequence[int], extent: float = 1.0) -> dict[str, npt.NDArray[np.float64]]:
    """Equally spaced coordinates in [-extent, extent] per axis of a chart; of a posterior the numbers of its samples.

    Args:
        chart: whose axes.
        counts: points per axis, in the order of the axes (U, V, ...); of a posterior how many samples.
        extent: half the range.

    Raises:
        BadInput: as many counts as axes are needed, each at least 2.
    """
    if schema.SAMPLE in chart.axes:
        if len(counts) != 1 or counts[0] < 1:
            raise BadInput(f"a grid of samples needs the number of these, 1 or more; got {counts}")
        return {schema.SAMPLE: np.arange(float(counts[0]))}
    axes = [axis for axis in chart.axes if axis != schema.REPEAT]
    if len(counts) != len(axes) or min(counts) < 2:
        raise BadInput(f"a grid for axes {', '.join(axes)} needs a count of at least 2 for each; got {counts}")
    made = {axis: np.linspace(-extent, extent, count) for axis, count in zip(axes, counts, strict=True)}
    return {**made, schema.REPEAT: np.arange(float(chart.repeats))} if isinstance(chart, RepeatedSlice) else made


@check_arguments
def survey(
    chart: Chart,
    grid: Grid | Raster,
    problem: Problem,
    splits: Mapping[str, Split | Source],
    *,
    metrics: Sequence[str | Metric] | None = None,
    curvature: CurvatureSettings | None = None,
    space: WeightSpace | None = None,
    buffers: BuffersPolicy | None = None,
    plan: str | Plan = "auto",
    precision: str = "fp32",
    memory: str = "auto",
    eval_batch_size: int = EVAL_BATCH_SIZE,
    padding: int = 4,
    tolerance: float | None = None,
    budget: int | None = None,
    path: Path | str | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Evaluate metrics at every point of a grid on a chart.

    Args:
        chart: where.
        grid: per axis its ascending coordinates; or a picture, whose cells and ``padding`` become the grid and whose
            target the variable ``target`` (or ``target_loss``; of a colour picture ``target_loss_red``, ...).
        problem: what.
        splits: examples by name: splits, or what :meth:`Split.of` makes splits of. Of a random subset
            (:meth:`Split.subset`) standard errors are stored, too.
        metrics: names or metrics (see :func:`~lossatlas.metrics.choose_metrics`); default the loss, and the accuracy
            where it has a meaning.
        curvature: in what metrics of curvature that are given by their names are taken, and how exactly.
        space: which parameters the chart spans; default all.
        buffers: what running statistics mean; default what is usual where the chart lies: around one network its own,
            between networks those that are estimated at every point (from 8 eval batches of the split called ``train``,
            or else of the first one), on a fitted chart what the fit used, and through random weights the eval
            batch's own.
        plan: how the engine runs. A store that is continued is continued with its own plan, unless one is stated.
        precision: of the networks, unless the plan states one: fp32, bf16, tf32, or auto, what is measured to pay.
        memory: bytes that a chunk of points may take, such as 2GiB; auto is a quarter of what is free.
        eval_batch_size: examples that are evaluated, and under batch statistics normalised, together.
        padding: cells around a picture.
        tolerance: evaluate points only until interpolation between them is this good, in the logarithm of the loss; the
            others are interpolated. Of a loss that is not positive, in shares of its height above its lowest value, or
            of the height that a tenth of the coarsest points stay below, where that is more
            (:class:`~lossatlas.surveying.scale.Scale`).
        budget: evaluate so many points at most, likewise.
        path: a zarr store to write, or to continue, alone or together with other processes; None keeps the survey in
            memory. What the store lacks is added: metrics, splits, points between those it has.
        progress: whether to show how far it is; None shows it after two seconds, in a notebook or on a terminal.

    Returns:
        One dimension per axis, variables ``<split>_<metric>``: see :mod:`lossatlas.schema`.

    Raises:
        BadInput: axes that do not agree, an unknown metric, or a store of another survey.

    >>> import torch, lossatlas as la
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> problem = la.Problem(module, la.CrossEntropy())
    >>> examples = torch.randn(64, 4), torch.randint(2, (64,))
    >>> chart = la.slice_around(module)
    >>> data = la.survey(chart, la.make_grid(chart, (3, 5)), problem, {"test": examples}, plan="loop")
    >>> data["test_loss"].dims, data["test_loss"].shape, data["test_loss"].units
    (('u', 'v'), (3, 5), 'nat')
    """
    picture = grid if isinstance(grid, Raster) else None
    coords = grid.grid(padding) if isinstance(grid, Raster) else dict(grid)
    if tuple(coords) != chart.axes:
        raise BadInput(f"the grid runs along {', '.join(coords)}, the chart along {', '.join(chart.axes)}")
    for axis, values in coords.items():
        if len(values) < 1 or not np.isfinite(values).all() or not (np.diff(values) > 0).all():
            raise BadInput(
                f"the coordinates along {axis} do not rise; expected ascending numbers, as np.linspace gives"
            )
    if not splits:
        raise BadInput("a survey needs at least one split of examples")
    given = name_splits(splits, find_device(chart))
    if metrics is not None and not metrics:
        raise BadInput("a survey needs at least one metric; leave them out for the loss and the accuracy")
    path = Path(path) if path is not None else None
    if plan == "auto" and path is not None:
        plan = _recorded_plan(path) or plan
    if buffers is None:
        buffers = choose_policy(chart, problem.module, given.get(TRAIN, next(iter(given.values()))), eval_batch_size)
    points = math.prod(map(len, coords.values()))
    batches = sum(-(-len(split) // eval_batch_size) for split in given.values())
    with show_progress(progress) as reporter:
        chosen = choose_metrics(problem.loss, metrics, curvature)
        operators = {name: one for name, one in chosen.items() if not isinstance(one, StreamingMetric)}
        engine = engine_for(
            problem, chart, next(iter(given.values())), space=space, buffers=buffers, plan=plan, precision=precision,
            eval_batch_size=eval_batch_size, memory=memory, steps=False, evaluations=points * batches,
            metrics=operators,
        )  # fmt: skip
        surveyor = Surveyor(engine, chart, given, chosen, eval_batch_size)
        refinement = make_refinement(coords, tolerance, budget)
        recorded = {PLAN: json.dumps(engine.plan.to_dict())}
        if path is not None:
            recorded[PROBE] = surveyor.probe(coords).record()
        with SurveyStore.of_chart(path, chart, coords, recorded=recorded) as store:
            if picture is not None:
                surveyor.check(store)
                put_target(store, picture, padding, engine.network.loss)
            if chart.curved:
                surveyor.check(store)
                put_distortion(store, chart)
            tell = partial(reporter.progress, "survey", numbers={})
            surveyor.fill(store, refinement=refinement, on_points=count_towards(tell, points * surveyor.evaluations))
    return store.open()


def make_refinement(coords: Grid, tolerance: float | None, budget: int | None) -> Refinement | None:
    """The refinement that a tolerance and a budget stand for; None where neither is given.

    Raises:
        BadInput: as :class:`Refinement`, or several repeats, members or samples are to be refined.
    """
    if tolerance is None and budget is None:
        return None
    for dimension in schema.SAMPLE_DIMENSIONS:
        if dimension in coords:
            raise BadInput(
                f"several {dimension}s are surveyed on whole grids; leave out the tolerance and the budget, or the "
                f"{dimension}s"
            )
    return Refinement(tuple(np.asarray(axis, dtype=np.float64) for axis in coords.values()), tolerance, budget)


def put_target(store: SurveyStore, picture: Raster, padding: int, loss: Loss) -> None:
    """Write the picture that was asked for beside what was found of a loss."""
    for asked in picture.list_variables(padding, loss.units):
        store.put(asked.name, asked.values, asked.attributes)


def _recorded_plan(path: Path) -> Plan | None:
    """The plan of a store that is there."""
    stored = glance_at(path)
    recorded = stored.attrs.get(PLAN) if stored is not None else None
    return Plan.parse(str(recorded)) if recorded else None
