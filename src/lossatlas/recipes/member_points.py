"""Points of the chart of a run as members of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lossatlas.charts import Chart
from lossatlas.ensembles.members import Members
from lossatlas.errors import BadInput
from lossatlas.pictures import MemberGrid, Picture, find_source, parse_size
from lossatlas.recipes.effort import measure_run
from lossatlas.recipes.fit_config import FitConfig
from lossatlas.recipes.networks import copy_state, keep_module
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.options import check_options
from lossatlas.recipes.picture_kind import find_picture_kind
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.rundir import CHART
from lossatlas.schema import REPEAT

__all__ = ["find_low_cells", "open_chart", "take_points"]

ADVICE = "name a run of fit, connect or survey"


def open_chart(place: str, base: ProblemRecipe) -> tuple[OpenedRun, Chart]:
    """Open the chart of a run.

    Args:
        place: the path of the run.
        base: the problem that its points are networks of.

    Raises:
        BadInput: the run has no chart, or that of another architecture.
    """
    run = OpenedRun(Path(place), ADVICE)
    if not (run.path / CHART).is_file():
        raise BadInput(
            f"{place} holds no chart, whose points could be members; {ADVICE}, or {place}@snapshots of a training"
        )
    chart = run.chart
    if chart.dimension != base.space.size:
        raise BadInput(
            f"the chart in {run.path} has {chart.dimension:,} dimensions and the model {base.space.size:,} "
            "parameters; choose the model and options it was made with"
        )
    return run, chart


def find_low_cells(place: str, base: ProblemRecipe) -> tuple[OpenedRun, Chart, Tensor]:
    """Find the low cells of the picture that a run fitted, or the members of which it fitted a grid.

    Args:
        place: the path of the run.
        base: the problem that its points are networks of.

    Returns:
        The run, its chart, and the coordinates (K, d) of the cells.

    Raises:
        BadInput: the run did not fit a picture, or one of shades of grey.
    """
    run, chart = open_chart(place, base)
    fit = run.maker.read_config("pattern")
    if not isinstance(fit, FitConfig):
        raise BadInput(f"{place} did not fit a picture, so that it has no low cells; name points of it: {place}@at")
    source = find_source(fit.pattern, fit.invert, check_options("pattern", fit.pattern, fit.pattern_options))
    picture = source.render(parse_size(fit.size) if fit.size is not None else None)
    if instead := find_picture_kind(picture).without_low_cells:
        raise BadInput(f"the picture of {place} has {instead} and no low cells; name points of it: {place}@at")
    assert isinstance(picture, Picture | MemberGrid)
    return run, chart, torch.from_numpy(picture.coords()[picture.low])


def take_points(
    run: OpenedRun, chart: Chart, coords: Tensor, base: ProblemRecipe, names: Sequence[str] = ()
) -> Members:
    """Take points of the chart of a run as members.

    Args:
        run: the run.
        chart: its chart.
        coords: the coordinates (K, d).
        base: the problem; its module keeps its weights.
        names: the names of the points; default their coordinates.

    Raises:
        BadInput: the run has several repeats of a slice, or what it started from is missing.
    """
    if REPEAT in chart.axes:
        raise BadInput(
            f"the chart in {run.path} has repeats of one slice, each along directions of its own; name a survey with "
            "--repeats 1"
        )
    with keep_module(base.problem.module):
        notes = run.maker.place_module(base)
        state = copy_state(base.problem.module)
    cost = measure_run(run)
    found = Members(chart=chart, coords=coords)  # which names them
    return Members(
        chart=chart,
        coords=coords,
        names=tuple(f"{run.path.resolve().name}{name}" for name in names or found.names),
        buffers=run.stated_buffers or run.maker.stated_buffers,
        state=state,
        costs=(cost,) * len(coords),
        notes=notes,
    )
