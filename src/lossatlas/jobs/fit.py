"""The job of ``lossatlas fit``: a configuration and a directory become a fitted chart, its survey and its pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import xarray as xr

from lossatlas.charts import chart_bytes
from lossatlas.engine import BuffersPolicy, Engine, Plan
from lossatlas.engine.memory import memory_limit
from lossatlas.engine.planning import MEASURING_SECONDS, measuring_seconds
from lossatlas.engine.setup import engine_for
from lossatlas.errors import CannotFinish
from lossatlas.fitting import Fit
from lossatlas.jobs.estimate import Estimate, peak_bytes
from lossatlas.jobs.fit_cost import FitCost
from lossatlas.jobs.fit_summary import summarise
from lossatlas.jobs.forecast import Forecast
from lossatlas.jobs.job import Handling, Job
from lossatlas.jobs.starting import Start
from lossatlas.jobs.stepping import descend
from lossatlas.jobs.survey_cost import points_left
from lossatlas.metrics import metrics_for, streaming_metrics
from lossatlas.recipes import FitConfig
from lossatlas.recipes.base import AUTO, stated
from lossatlas.recipes.fit import FitRecipe, build_fit
from lossatlas.rundir import CHART, SURVEY, RunDirectory
from lossatlas.surveying import Surveyor, SurveyStore
from lossatlas.surveying.survey import put_target
from lossatlas.views import png, view, write_report

__all__ = ["make_engine", "make_fit", "make_survey_engine", "run_fit"]

PLATEAU = 0.1
"""A fit that ends with a smaller gap, of accuracies or else of log losses, never left where all cells look alike."""
PLATEAU_ADVICE = (
    "never left the plateau where all cells look alike: give it more time (--seconds), a coarser --size, more --cells, "
    "or another --lr or --scale"
)


def _carry_out(start: Start[FitConfig], how: Handling) -> dict[str, Any]:
    """Fit a picture, survey the chart, draw the pictures and write the report."""
    run, config, reporter = start.run, start.config, how.reporter
    recipe = build_fit(config)
    plan = Plan.from_dict(start.stored("plan", {})) if start.continuing else config.plan
    engine = make_engine(recipe, config, plan)
    survey_engine = make_survey_engine(recipe, config, engine)
    cost, chosen = _settled(recipe, config, engine, survey_engine)
    recipe, config = cost.recipe, start.decide(cost.config)
    fit = make_fit(recipe, config, engine)
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
        f"engine: {engine.plan.pullback.strategy} to fit, {engine.plan.evaluate.strategy} to survey",
        f"        {engine.plan.reason}",
        *recipe.notes,
        *([f"examples surveyed: {chosen}"] if chosen else []),
    )

    def foretell() -> None:
        left = 0.0 if fit.done else 1 - fit.progress
        how.foretell(lambda: cost.phases(left, points_left(run.path / SURVEY, cost.points), how.pictures))

    descend(run, fit, "fit", how, foretell)
    if fit.reached_target:
        reporter.say(f"reached the target gap after {fit.steps} steps")
    plateau = _on_plateau(fit.running)
    run.write_bytes(CHART, chart_bytes(recipe.chart))
    if plateau and config.target_gap is not None:
        raise CannotFinish(f"the fit {PLATEAU_ADVICE}")
    if plateau:
        reporter.say(f"the fit {PLATEAU_ADVICE}")

    started = time.perf_counter()
    survey = _survey(run, recipe, config, survey_engine, how)
    survey_seconds = time.perf_counter() - started
    summary = summarise(recipe, config, fit, survey, survey_seconds)
    if how.pictures:
        _draw(run, survey, recipe, summary)
    start.finish(summary, {"fit": fit.seconds, "survey": survey_seconds})
    return summary


def _settled(recipe: FitRecipe, config: FitConfig, engine: Engine, survey_engine: Engine) -> tuple[FitCost, str]:
    """The costs of a fit whose survey is decided; and a line that says why, where its examples were left open."""
    cost = FitCost(config, recipe, survey_engine, lambda twin: make_fit(twin, config, engine))
    if config.examples != AUTO:
        return cost, ""
    chosen = cost.chosen()
    cost.config, cost.recipe = replace(config, examples=chosen.examples), recipe.surveying(chosen.examples)
    for split in cost.recipe.surveyed.values():
        survey_engine.network.check(split)
    return cost, chosen.line


def _estimate(config: FitConfig) -> Estimate:
    """A dry run: times a few steps and a few surveyed points; writes nothing.

    Raises:
        BadInput: what the run itself would refuse.
    """
    recipe = build_fit(config)
    engine = make_engine(recipe, config, config.plan, measuring=MEASURING_SECONDS)
    survey_engine = make_survey_engine(recipe, config, engine)
    cost, chosen = _settled(recipe, config, engine, survey_engine)
    points, examples = cost.points, sum(len(split) for split in cost.recipe.surveyed.values())
    forecast = Forecast(list(cost.phases(1.0, points, pictures=True)))
    variables = len(streaming_metrics(recipe.problem.loss, recipe.metrics)) * 4 + 1
    return Estimate(
        work={
            "fit": f"{recipe.objective.most_points} points x {config.batch_size} examples a step",
            "survey": f"{points:,} points x {examples:,} examples",
            **({"examples": chosen} if chosen else {}),
        },
        forecast=forecast,
        peak_bytes=peak_bytes(),
        chunk_bytes=memory_limit(config.memory, engine.network.device),
        disk_bytes=4 * sum(p.numel() for p in recipe.chart.parameters()) * 4
        + points * variables * len(recipe.surveyed)
        + 6_000_000,
    )


run_fit = Job(FitConfig, _carry_out, _estimate)
"""The job of ``lossatlas fit``."""


def make_engine(
    recipe: FitRecipe,
    config: FitConfig,
    plan: str | Plan,
    buffers: BuffersPolicy | None = None,
    measuring: float | None = None,
) -> Engine:
    """The engine of a recipe, checked on every split that will be seen.

    Args:
        recipe: of the fit.
        config: likewise.
        plan: stated, or how it is found.
        buffers: stands in for the fit's policy.
        measuring: seconds that an automatic plan may be measured for; default what the fit's budget affords.
    """
    engine = engine_for(
        recipe.problem,
        recipe.chart,
        recipe.train,
        space=recipe.space,
        buffers=buffers if buffers is not None else recipe.buffers,
        plan=plan,
        precision=config.precision,
        memory=config.memory,
        measuring=measuring if measuring is not None else measuring_seconds(config.seconds),
        batch_size=stated(config.batch_size),
        eval_batch_size=config.eval_batch_size,
        points=recipe.objective.most_points,
        metrics=metrics_for(recipe.problem.loss, recipe.metrics),
    )
    for split in recipe.surveyed.values():
        engine.network.check(split)
    return engine


def make_survey_engine(recipe: FitRecipe, config: FitConfig, engine: Engine) -> Engine:
    """The engine of the survey: the fit's, unless statistics shall mean something else there."""
    if config.survey_buffers in (AUTO, config.buffers):
        return engine
    return make_engine(recipe, config, engine.plan, recipe.survey_buffers)


def make_fit(recipe: FitRecipe, config: FitConfig, engine: Engine) -> Fit:
    """The fit of a recipe, not yet begun."""
    return Fit(
        recipe.chart,
        recipe.objective,
        engine,
        recipe.train,
        recipe.budget,
        optimizer=recipe.optimizer,
        schedule=recipe.schedule,
        batch_size=stated(config.batch_size),
        seed=config.seed,
        target_gap=config.target_gap,
        augment=recipe.augment,
    )


def _on_plateau(running: Mapping[str, float]) -> bool:
    if "gap" in running:
        return running["gap"] < PLATEAU
    low, high = running.get("low_loss", 0.0), running.get("high_loss", 0.0)
    return high < low * math.exp(PLATEAU)


def _survey(
    run: RunDirectory,
    recipe: FitRecipe,
    config: FitConfig,
    engine: Engine,
    how: Handling,
) -> xr.Dataset:
    grid = recipe.picture.grid(config.padding)
    metrics = metrics_for(recipe.problem.loss, recipe.metrics)
    surveyor = Surveyor(engine, recipe.chart, recipe.surveyed, metrics, config.eval_batch_size)
    attributes = {"chart": recipe.chart.fingerprint()}
    with SurveyStore(run.path / SURVEY, grid, attributes, say=how.reporter.say) as store:
        put_target(store, recipe.picture, config.padding)
        how.fill(surveyor, store, "survey")
        return store.open().load()


def _draw(run: RunDirectory, survey: xr.Dataset, recipe: FitRecipe, summary: dict[str, Any]) -> None:
    title = f"{recipe.picture.name}, {'x'.join(map(str, recipe.picture.shape))}"
    images = {name: png(figure) for name, figure in view(survey, title=title).items()}
    for name, image in images.items():
        run.write_bytes(f"{name}.png", image)
    config = run.config_text()
    write_report(run.path / "report.html", survey, title, summary, config, images)
