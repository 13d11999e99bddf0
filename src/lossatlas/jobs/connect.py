"""The job of ``lossatlas connect``: a curve between networks, its surveys, and its pictures."""

from __future__ import annotations

import time
from typing import Any

import xarray as xr

from lossatlas.charts import encode_chart
from lossatlas.engine.memory import find_memory_limit
from lossatlas.jobs.along import CurveEvaluation
from lossatlas.jobs.connect_cost import ConnectCost
from lossatlas.jobs.estimate import Estimate, measure_peak_bytes
from lossatlas.jobs.fit_summary import summarise_descent
from lossatlas.jobs.forecast import Forecast
from lossatlas.jobs.job import Handling, Job
from lossatlas.jobs.pictures import draw_survey
from lossatlas.jobs.starting import Start
from lossatlas.jobs.stepping import descend
from lossatlas.recipes import ConnectConfig, complete
from lossatlas.recipes.connect import ConnectRecipe, build_connect
from lossatlas.rundir import CHART, RunDirectory
from lossatlas.views import Style, draw
from lossatlas.views.curve_table import curve_grid, keys_of_grid

__all__ = ["run_connect"]

IN_PLANE = ("curve_plane",)
"""The views of the plane that are shown with those of the curve."""


def _carry_out(start: Start[ConnectConfig], how: Handling) -> dict[str, Any]:
    """Train a curve, survey it and its plane, draw the pictures, write the report."""
    run = start.run
    recipe = build_connect(start.config)
    engine = recipe.build_engine(start.find_plan(start.config.plan), buffers=recipe.buffers)
    survey_engine = recipe.build_survey_engine(engine)
    fit = recipe.begin_fit(engine)
    start.put_planned(recipe, engine, recipe.extent)
    how.introduce(
        recipe.problem,
        recipe.data,
        f"engine: {engine.plan.pullback.strategy} to train, {engine.plan.evaluate.strategy} to survey",
        f"        {engine.plan.reason}",
        *recipe.notes,
        *filter(None, [recipe.no_radial]),
    )
    cost = ConnectCost(recipe, engine, survey_engine)

    def foretell() -> None:
        left = 0.0 if fit.done else 1 - fit.progress
        how.foretell(lambda: cost.phases(left, run.path, how.pictures))

    descend(run, fit, "curve", how, foretell)
    run.write_bytes(CHART, encode_chart(recipe.chart))
    started = time.perf_counter()
    evaluation = CurveEvaluation(run.path, recipe, survey_engine, how)
    survey = evaluation.carry_out()
    seconds = time.perf_counter() - started
    summary = {**evaluation.summarise(survey), **summarise_descent(fit, seconds)}
    if how.pictures:
        _draw(run, recipe, survey, evaluation.plane_survey, summary)
    start.finish(summary, {"fit": fit.seconds, "survey": seconds})
    return summary


def _estimate(config: ConnectConfig) -> Estimate:
    """Estimate the cost of a run by timing a few steps and a few points; writes nothing.

    Raises:
        BadInput: the run itself would be refused.
    """
    recipe = build_connect(complete(config))
    engine = recipe.build_engine(config.plan, buffers=recipe.buffers)
    cost = ConnectCost(recipe, engine, recipe.build_survey_engine(engine))
    grid, examples = len(recipe.t), sum(len(split) for split in recipe.surveyed.values())
    in_plane = sum(len(split) for split in recipe.in_plane.values())
    return Estimate(
        work={
            "curve": f"{recipe.objective.most_points} points x {config.batch_size} examples a step",
            "paths": f"{cost.paths} x {grid} points x {examples:,} examples",
            "plane": f"{config.plane**2:,} points x {in_plane:,} examples",
        },
        forecast=Forecast(list(cost.phases(1.0, None, pictures=True))),
        peak_bytes=measure_peak_bytes(),
        chunk_bytes=find_memory_limit(config.memory, engine.network.device),
        disk_bytes=4 * recipe.space.size * 4 * (config.bends + 2) + config.plane**2 * 40 + 6_000_000,
    )


run_connect = Job(ConnectConfig, _carry_out, _estimate)
"""The job of ``lossatlas connect``."""


def _draw(
    run: RunDirectory, recipe: ConnectRecipe, survey: xr.Dataset, plane: xr.Dataset | None, summary: dict[str, Any]
) -> None:
    config, names = recipe.config, recipe.names
    title = f"{config.curve} from {names[0]} to {names[-1]}, {config.model} on {config.data}"
    in_plane = draw(plane, IN_PLANE, Style(title=title)) if plane is not None else None
    grids, shown = [curve_grid(summary)], keys_of_grid(summary)
    draw_survey(run, survey, title, summary, in_plane, grids=grids, shown_elsewhere=shown)
