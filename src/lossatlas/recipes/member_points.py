"""Points of the chart of a run as members of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from lossatlas.charts import Chart
from lossatlas.ensembles.members import Members
from lossatlas.errors import BadInput
from lossatlas.recipes.effort import measure_run
from lossatlas.recipes.networks import copy_state, keep_module
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.rundir import CHART
from lossatlas.schema import SAMPLE_DIMENSIONS

__all__ = ["open_chart", "take_points"]

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
        BadInput: the run compares several repeats, or what it started from is missing.
    """
    if several := set(SAMPLE_DIMENSIONS) & set(chart.axes):
        raise BadInput(f"the chart in {run.path} has several of one slice along {several.pop()!r}; choose another run")
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
