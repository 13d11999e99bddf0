"""The job of ``lossatlas fit``: a fitted chart, its survey and its pictures."""

from __future__ import annotations

import time
from typing import Any

import xarray as xr

from lossatlas.charts import encode_chart
from lossatlas.engine import Engine
from lossatlas.engine.checking import check_network
from lossatlas.engine.memory import find_memory_limit
from lossatlas.engine.planning import MEASURING_SECONDS
from lossatlas.errors import CannotFinish
from lossatlas.fitting import Fit
from lossatlas.jobs.estimate import Estimate, measure_peak_bytes
from lossatlas.jobs.fit_cost import FitCost
from lossatlas.jobs.fit_summary import summarise_fit
from lossatlas.jobs.forecast import Forecast
from lossatlas.jobs.job import Handling, Job
from lossatlas.jobs.pictures import draw_survey
from lossatlas.jobs.starting import Start
from lossatlas.jobs.stepping import descend
from lossatlas.jobs.survey_cost import count_points_left
from lossatlas.recipes import FitConfig
from lossatlas.recipes.base import AUTO
from lossatlas.recipes.fit import FitRecipe, build_fit
from lossatlas.rundir import CHART, SURVEY, RunDirectory
from lossatlas.surveying import SurveyStore
from lossatlas.surveying.distorting import describe_distortion, put_distortion
from lossatlas.surveying.survey import put_target

__all__ = ["run_fit"]

PLATEAU_ADVICE = (
    "never left the plateau where all cells are alike: give it more time (--seconds), a coarser --size, more --cells, "
    "or another --lr or --scale"
)


def _carry_out(start: Start[FitConfig], how: Handling) -> dict[str, Any]:
    """Fit a picture, survey the chart, draw the pictures, write the report."""
    run = start.run
    recipe = build_fit(start.config, begins=not start.continuing)
    engine = recipe.build_engine(start.find_plan(start.config.plan), buffers=recipe.buffers)
    cost, chosen = _settled(recipe, engine)
    recipe = cost.recipe
    start.decide(recipe.config)
    fit = recipe.begin_fit(engine)
    start.put_planned(recipe, engine, recipe.extent)
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
        how.foretell(lambda: cost.phases(left, count_points_left(run.path / SURVEY, cost.points), how.pictures))

    descend(run, fit, "fit", how, foretell)
    if fit.reached_target:
        how.reporter.say(f"reached the target gap after {fit.steps} steps")
    if recipe.config.keep_best:
        how.reporter.say(_tell_kept(fit))
    plateau = recipe.kind.is_on_plateau(fit.running)
    run.write_bytes(CHART, encode_chart(recipe.chart))
    if plateau and recipe.config.target_gap is not None:
        raise CannotFinish(f"the fit {PLATEAU_ADVICE}")
    if plateau:
        how.reporter.say(f"the fit {PLATEAU_ADVICE}")

    started = time.perf_counter()
    survey = _survey(run, recipe, cost.survey_engine, how)
    survey_seconds = time.perf_counter() - started
    together = recipe.kind.score_together(recipe, cost.survey_engine)
    if failure := recipe.kind.describe_failure(together):
        how.reporter.say(failure)
    summary = summarise_fit(recipe, fit, survey, survey_seconds, together)
    if said := describe_distortion(summary):
        how.reporter.say(said)
    if how.pictures:
        title = f"{recipe.picture.name}, {'x'.join(map(str, recipe.picture.shape))}"
        draw_survey(run, survey, title, summary)
    start.finish(summary, {"fit": fit.seconds, "survey": survey_seconds})
    return summary


def _settled(recipe: FitRecipe, engine: Engine) -> tuple[FitCost, str]:
    """Decide the examples of the survey if they are left open; returns the costs, and a line with the reason."""
    cost = FitCost(recipe, engine, recipe.build_survey_engine(engine))
    if recipe.config.examples != AUTO:
        return cost, ""
    chosen = cost.chosen()
    cost.recipe = recipe.surveying(chosen.examples)
    for split in cost.recipe.surveyed.values():
        check_network(cost.survey_engine.network, split)
    return cost, chosen.line


def _estimate(config: FitConfig) -> Estimate:
    """Estimate the cost of a run by timing a few steps and a few points; writes nothing.

    Raises:
        BadInput: the run itself would be refused.
    """
    recipe = build_fit(config, begins=True)
    engine = recipe.build_engine(config.plan, buffers=recipe.buffers, measuring=MEASURING_SECONDS)
    cost, chosen = _settled(recipe, engine)
    points, examples = cost.points, sum(len(split) for split in cost.recipe.surveyed.values())
    forecast = Forecast(list(cost.phases(1.0, points, pictures=True)))
    variables = len(recipe.metrics) * 4 + 1
    return Estimate(
        work={
            "fit": f"{recipe.objective.most_points} points x {config.batch_size} examples a step",
            "survey": f"{points:,} points x {examples:,} examples",
            **({"examples": chosen} if chosen else {}),
        },
        forecast=forecast,
        peak_bytes=measure_peak_bytes(),
        chunk_bytes=find_memory_limit(config.memory, engine.network.device),
        disk_bytes=4 * sum(p.numel() for p in recipe.chart.parameters()) * 4
        + points * variables * len(recipe.surveyed)
        + 6_000_000,
    )


run_fit = Job(FitConfig, _carry_out, _estimate)
"""The job of ``lossatlas fit``."""


def _tell_kept(fit: Fit) -> str:
    kept = fit.kept
    if kept is None:
        return (
            "the chart of the last step is kept: no score on held-out examples was finite, or the fit ended before the "
            "picture had its full size"
        )
    return (
        f"kept the chart of step {kept.step:,} of {fit.steps:,}: {kept.name} {kept.score:.3f} on held-out examples, "
        f"{kept.score_at_end:.3f} at the end"
    )


def _survey(run: RunDirectory, recipe: FitRecipe, engine: Engine, how: Handling) -> xr.Dataset:
    with SurveyStore.of_chart(run.path / SURVEY, recipe.chart, recipe.grid, say=how.reporter.say) as store:
        put_target(store, recipe.picture, recipe.config.padding, recipe.problem.loss)
        if recipe.chart.curved:
            put_distortion(store, recipe.chart)
        how.fill(recipe.build_surveyor(engine), store, "survey")
        return store.open().load()
