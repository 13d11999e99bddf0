"""The job of ``lossatlas connect``: networks and a directory become a curve, what lies along it, and its pictures."""

from __future__ import annotations

import time
from typing import Any

import torch
import xarray as xr

from lossatlas.charts import chart_bytes
from lossatlas.engine import BuffersPolicy, Engine, Plan
from lossatlas.engine.memory import memory_limit
from lossatlas.engine.planning import measuring_seconds
from lossatlas.engine.setup import engine_for
from lossatlas.fitting import Fit
from lossatlas.jobs.along import CurveEvaluation
from lossatlas.jobs.connect_cost import ConnectCost
from lossatlas.jobs.connect_summary import connect_summary
from lossatlas.jobs.estimate import Estimate, peak_bytes
from lossatlas.jobs.forecast import Forecast
from lossatlas.jobs.job import Handling, Job
from lossatlas.jobs.starting import Start
from lossatlas.jobs.stepping import descend
from lossatlas.recipes import ConnectConfig, completed
from lossatlas.recipes.base import stated
from lossatlas.recipes.connect import ConnectRecipe, build_connect
from lossatlas.rundir import CHART, RunDirectory
from lossatlas.views import png, view, write_report
from lossatlas.views.curve_table import curve_grid, keys_of_grid

__all__ = ["run_connect"]

IN_PLANE = ("curve_plane",)
"""Pictures of the plane that stand among those of the curve."""


def _carry_out(start: Start[ConnectConfig], how: Handling) -> dict[str, Any]:
    """Train a curve, evaluate what lies along it and around it, draw the pictures, write the report."""
    run, config = start.run, start.config
    recipe = build_connect(config)
    plan = Plan.from_dict(start.stored("plan", {})) if start.continuing else config.plan
    engine = _engine(recipe, config, plan, recipe.buffers)
    survey_engine = _engine(recipe, config, engine.plan, recipe.survey_buffers)
    fit = _fit(recipe, config, engine)
    start.put(
        recipe.train.device,
        recipe.fingerprints(),
        disk=recipe.extent.disk,
        plan=engine.plan.to_dict(),
        normalisation=recipe.data.normalisation,
    )
    torch.set_num_threads(engine.plan.threads)
    how.introduce(
        recipe.problem,
        recipe.data,
        f"engine: {engine.plan.pullback.strategy} to train, {engine.plan.evaluate.strategy} to survey",
        f"        {engine.plan.reason}",
        *recipe.notes,
        *filter(None, [recipe.no_radial]),
    )
    cost = ConnectCost(config, recipe, survey_engine, lambda twin: _fit(twin, config, engine))

    def foretell() -> None:
        left = 0.0 if fit.done else 1 - fit.progress
        how.foretell(lambda: cost.phases(left, run.path, how.pictures))

    descend(run, fit, "curve", how, foretell)
    run.write_bytes(CHART, chart_bytes(recipe.curve))
    started = time.perf_counter()
    evaluation = CurveEvaluation(run, recipe, config, survey_engine, how)
    with evaluation.survey as store:
        evaluation.paths()
        evaluation.plane()
        evaluation.ensembles()
        survey = store.open().load()
    seconds = time.perf_counter() - started
    summary = {
        **connect_summary(survey, evaluation.geometry),
        **({"radial_undefined": recipe.no_radial} if recipe.no_radial else {}),
        "parameters": recipe.space.size,
        "steps": fit.steps,
        "seconds": fit.seconds,
        "seconds_per_step": fit.seconds / max(1, fit.steps),
        "survey_seconds": seconds,
        "held_bytes": fit.held_bytes,
        "peak_memory_bytes": peak_bytes(),
    }
    if how.pictures:
        _draw(run, recipe, config, survey, evaluation.plane_survey(), summary)
    start.finish(summary, {"fit": fit.seconds, "survey": seconds})
    return summary


def _estimate(config: ConnectConfig) -> Estimate:
    """A dry run: times a few steps and a few points; writes nothing.

    Raises:
        BadInput: what the run itself would refuse.
    """
    config = completed(config)
    recipe = build_connect(config)
    engine = _engine(recipe, config, config.plan, recipe.buffers)
    survey_engine = _engine(recipe, config, engine.plan, recipe.survey_buffers)
    cost = ConnectCost(config, recipe, survey_engine, lambda twin: _fit(twin, config, engine))
    grid, examples = len(recipe.t), sum(len(split) for split in recipe.surveyed.values())
    in_plane = sum(len(split) for split in recipe.in_plane.values())
    return Estimate(
        work={
            "curve": f"{recipe.objective.most_points} points x {config.batch_size} examples a step",
            "paths": f"{cost.paths} x {grid} points x {examples:,} examples",
            "plane": f"{config.plane**2:,} points x {in_plane:,} examples",
        },
        forecast=Forecast(list(cost.phases(1.0, None, pictures=True))),
        peak_bytes=peak_bytes(),
        chunk_bytes=memory_limit(config.memory, engine.network.device),
        disk_bytes=4 * recipe.space.size * 4 * (config.bends + 2) + config.plane**2 * 40 + 6_000_000,
    )


run_connect = Job(ConnectConfig, _carry_out, _estimate)
"""The job of ``lossatlas connect``."""


def _engine(recipe: ConnectRecipe, config: ConnectConfig, plan: str | Plan, buffers: BuffersPolicy) -> Engine:
    engine = engine_for(
        recipe.problem,
        recipe.curve,
        recipe.train,
        space=recipe.space,
        buffers=buffers,
        plan=plan,
        precision=config.precision,
        memory=config.memory,
        measuring=measuring_seconds(config.seconds),
        batch_size=stated(config.batch_size),
        eval_batch_size=config.eval_batch_size,
        points=max(recipe.objective.most_points, 16),
        metrics=recipe.metrics,
    )
    for split in recipe.surveyed.values():
        engine.network.check(split)
    return engine


def _fit(recipe: ConnectRecipe, config: ConnectConfig, engine: Engine) -> Fit:
    return Fit(
        recipe.curve,
        recipe.objective,
        engine,
        recipe.train,
        recipe.budget,
        optimizer=recipe.optimizer,
        schedule=recipe.schedule,
        batch_size=stated(config.batch_size),
        seed=config.seed,
        augment=recipe.augment,
    )


def _draw(
    run: RunDirectory,
    recipe: ConnectRecipe,
    config: ConnectConfig,
    survey: xr.Dataset,
    plane: xr.Dataset | None,
    summary: dict[str, Any],
) -> None:
    title = f"{config.curve} from {recipe.names[0]} to {recipe.names[-1]}, {config.model} on {config.data}"
    figures = view(survey, title=title)
    if plane is not None:
        figures |= view(plane, kinds=IN_PLANE, title=title)
    images = {name: png(figure) for name, figure in figures.items()}
    for name, image in images.items():
        run.write_bytes(f"{name}.png", image)
    write_report(
        run.path / "report.html",
        survey,
        title,
        summary,
        run.config_text(),
        images,
        grids=[curve_grid(summary)],
        shown_elsewhere=keys_of_grid(summary),
    )
