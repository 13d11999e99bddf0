"""The job of ``lossatlas survey``: the surroundings of networks, and the losses on a trajectory there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from lossatlas import schema
from lossatlas.charts import chart_bytes
from lossatlas.engine import Engine, Plan
from lossatlas.engine.memory import memory_limit
from lossatlas.engine.planning import measuring_seconds
from lossatlas.engine.setup import engine_for
from lossatlas.jobs.estimate import Estimate, peak_bytes
from lossatlas.jobs.follow_trajectory import follow_trajectory, is_followed, summarise_trajectory
from lossatlas.jobs.forecast import PICTURES, Forecast, Phase
from lossatlas.jobs.job import Handling, Job
from lossatlas.jobs.sampling import SUSTAINED
from lossatlas.jobs.starting import Start
from lossatlas.jobs.survey_cost import Left, SurveyCost, points_left
from lossatlas.measures import measures
from lossatlas.recipes import SurveyConfig, completed
from lossatlas.recipes.survey import SurveyRecipe, build_survey
from lossatlas.rundir import CHART, SUMMARY, SURVEY, RunDirectory
from lossatlas.surveying import Surveyor, SurveyStore
from lossatlas.surveying.store import has_description, merged_grid
from lossatlas.views import png, view, write_report

__all__ = ["cost_of", "run_survey", "survey_engine"]

SURFACE = "_surface"
"""How the parts of a summary are called that describe a split's surface."""
BINS = 101
"""Of a histogram of weights; an odd number, so that one of them is about zero."""
TYPICAL = 4
"""How many times the points of its coarsest cells a refinement evaluates, about."""


def _carry_out(start: Start[SurveyConfig], how: Handling) -> dict[str, Any]:
    """Survey a chart, evaluate the trajectory on it if there is one, draw the pictures, write the report."""
    run, config, reporter = start.run, start.config, how.reporter
    recipe = build_survey(config)
    if start.continuing:
        _check_points(run.path / SURVEY, recipe)
    groups = sum(-(-len(split) // config.eval_batch_size) for split in recipe.surveyed.values())
    plan = Plan.from_dict(start.stored("plan", {})) if start.continuing else config.plan
    engine = survey_engine(recipe, config, plan, evaluations=_likely_points(recipe) * groups)
    start.put(
        engine.network.device,
        recipe.fingerprints(),
        disk=recipe.extent.disk,
        plan=engine.plan.to_dict(),
        normalisation=recipe.data.normalisation,
    )
    if (recorded := Plan.from_dict(start.stored("plan", {}))) != engine.plan:
        engine = survey_engine(recipe, config, recorded)  # another process began a moment before
    torch.set_num_threads(engine.plan.threads)
    engine_note = f"engine: {engine.plan.evaluate.strategy} to survey; {engine.plan.reason}"
    how.introduce(recipe.problem, recipe.data, engine_note, *recipe.site.notes)
    started = time.perf_counter()
    surveyor = Surveyor(engine, recipe.chart, recipe.surveyed, recipe.metrics, config.eval_batch_size)
    attributes = {"chart": recipe.chart.fingerprint()}
    geometry = {schema.GEOMETRY: recipe.chart.geometry().record()}
    with SurveyStore(
        run.path / SURVEY, recipe.grid, attributes, recipe.site.labels, geometry, say=reporter.say
    ) as store:
        surveyor.check(store)
        start.reopen()
        with store.alone("beside"):
            run.write_bytes(CHART, chart_bytes(recipe.chart))
            _put_networks(store, recipe)
        left = points_left(run.path / SURVEY, _likely_points(recipe))
        followed = recipe.site.trajectory is not None and is_followed(store, recipe)
        how.foretell(lambda: _phases(recipe, cost_of(recipe, config, engine), left, followed, how.pictures))
        how.fill(surveyor, store, "survey", recipe.refinement)
        with store.alone("finish"):
            if run.finished:  # by another process, while this one waited
                return run.read_json(SUMMARY)
            if recipe.site.trajectory is not None:
                follow_trajectory(run, store, recipe, recipe.site.trajectory, config, engine, how)
            seconds = time.perf_counter() - started
            survey = store.open().load()
            summary = _summary(recipe, survey, seconds)
            if how.pictures:
                _draw(run, survey, config, summary)
            start.finish(summary, {"survey": seconds})
    return summary


def _estimate(config: SurveyConfig) -> Estimate:
    """A dry run: times a few points; writes nothing.

    Raises:
        BadInput: what the run itself would refuse.
    """
    arrived, begin = time.process_time(), time.perf_counter()  # what it took to get here, it will take again
    recipe = build_survey(completed(config))
    engine = survey_engine(recipe, config, config.plan)
    prepared = arrived + time.perf_counter() - begin
    cost = cost_of(recipe, config, engine)
    points, examples = _likely_points(recipe), sum(len(split) for split in recipe.surveyed.values())
    work = {"survey": f"{points:,} points x {examples:,} examples"}
    followed = recipe.site.trajectory
    if followed is not None:
        work["trajectory"] = f"{len(followed.trajectory):,} snapshots x {examples:,} examples"
    phases = _phases(recipe, cost, points, followed=False, pictures=True)
    return Estimate(
        work=work,
        forecast=Forecast([Phase("preparation", prepared, SUSTAINED), *phases]),
        peak_bytes=peak_bytes(),
        chunk_bytes=memory_limit(config.memory, engine.network.device),
        disk_bytes=4 * recipe.space.size * 4 + points * 9 * len(recipe.surveyed) + 6_000_000,
    )


run_survey = Job(SurveyConfig, _carry_out, _estimate, together=True)
"""The job of ``lossatlas survey``: tile by tile, beside other processes that may do the same."""


def cost_of(recipe: SurveyRecipe, config: SurveyConfig, engine: Engine) -> SurveyCost:
    """What evaluating points of a survey takes."""
    return SurveyCost(
        engine,
        recipe.chart,
        recipe.grid,
        recipe.metrics,
        next(iter(recipe.surveyed.values())),
        config.eval_batch_size,
        recipe.buffers.passes,
        expected=_likely_points(recipe) * sum(len(split) for split in recipe.surveyed.values()),
    )


def _likely_points(recipe: SurveyRecipe) -> int:
    """How many points will be evaluated, as far as one knows before they are."""
    points = int(np.prod([len(coords) for coords in recipe.grid.values()]))
    if recipe.refinement is None:
        return points
    # Without a budget nobody knows; surfaces around trained networks take three to six times the coarsest points.
    likely = TYPICAL * int(recipe.refinement.coarsest().sum())
    return min(points, recipe.refinement.budget or likely)


def _phases(
    recipe: SurveyRecipe, cost: SurveyCost, left: Left | float, followed: bool, pictures: bool
) -> Iterator[Phase]:
    """What is to come.

    Args:
        recipe: of the survey.
        cost: of its points.
        left: how many of them are to be evaluated.
        followed: whether the trajectory on the chart has been.
        pictures: whether there will be any.
    """
    examples = {name: len(split) for name, split in recipe.surveyed.items()}
    known = recipe.refinement is None or recipe.refinement.budget is not None
    survey = cost.phase("survey", examples, left)
    yield survey if known else replace(survey, factor=max(2.0, survey.factor))
    if recipe.site.trajectory is not None and not followed:
        # A snapshot is evaluated twice, on the way and in the plane, and its gradient taken once.
        visits = 6 * len(recipe.site.trajectory.trajectory)
        yield cost.phase("trajectory", examples, visits)
    if pictures:
        yield PICTURES


def survey_engine(
    recipe: SurveyRecipe,
    config: SurveyConfig,
    plan: str | Plan,
    measuring: float | None = None,
    evaluations: int = 0,
) -> Engine:
    """The engine of a survey.

    Args:
        recipe: of the survey.
        config: likewise.
        plan: stated, or how it is found.
        measuring: seconds that an automatic plan may be measured for; default what a run affords.
        evaluations: points times groups that will be evaluated: measuring may take 3 % of that.
    """
    return engine_for(
        recipe.problem,
        recipe.chart,
        next(iter(recipe.surveyed.values())),
        space=recipe.space,
        buffers=recipe.buffers,
        plan=plan,
        precision=config.precision,
        memory=config.memory,
        measuring=measuring if measuring is not None else measuring_seconds(None),
        eval_batch_size=config.eval_batch_size,
        steps=False,
        evaluations=evaluations,
        metrics=recipe.metrics,
    )


def _check_points(path: Path, recipe: SurveyRecipe) -> None:
    """Refuse a grid that the store cannot grow to, as long as nothing of the run has changed."""
    if has_description(path):
        merged_grid(path, recipe.grid)


def _put_networks(store: SurveyStore, recipe: SurveyRecipe) -> None:
    """Where the networks lie that the chart was made of, and how their weights are distributed."""
    networks = recipe.site.networks
    if not networks:
        return
    names = {"names": [network.name for network in networks]}
    for k, axis in enumerate(axis for axis in recipe.chart.axes if axis != schema.REPEAT):
        where = np.array([network.coords[k] for network in networks])
        store.put_beside(
            schema.Corner.coordinate(axis), (schema.Corner.DIMENSION,), where, {"long_name": axis, **names}
        )
    if not store.lacks(schema.Corner.WEIGHT, schema.Corner.WEIGHTS):
        return
    weights = [network.weights.double().numpy() for network in networks]
    finite = [values[np.isfinite(values)] for values in weights]
    reach = max((float(np.abs(values).max()) for values in finite if values.size), default=0.0) or 1.0
    edges = np.linspace(-reach, reach, BINS + 1)
    counts = np.stack([np.histogram(values, edges)[0] for values in finite])
    bins = schema.Corner.BIN
    store.put_beside(schema.Corner.WEIGHT, (bins,), (edges[:-1] + edges[1:]) / 2, {"long_name": "weight", "units": "1"})
    attributes = {"long_name": "weights of a network", "units": "1", **names}
    store.put_beside(schema.Corner.WEIGHTS, (schema.Corner.DIMENSION, bins), counts, attributes)


def _summary(recipe: SurveyRecipe, survey: xr.Dataset, seconds: float) -> dict[str, Any]:
    followed = recipe.site.trajectory
    found: dict[str, Any] = {} if followed is None else summarise_trajectory(followed, recipe, survey)
    for name in recipe.surveyed:
        variable = schema.split_variable(name, "loss")
        if variable in survey:
            values = survey[variable].values[np.isfinite(survey[variable].values)]
            ends = (float(values.min()), float(values.max())) if values.size else (None, None)
            found |= {f"{name}_lowest_loss": ends[0], f"{name}_highest_loss": ends[1]}
    if schema.MEASURED in survey:
        found["points_evaluated"] = int(survey[schema.MEASURED].sum())
    return {
        **found,
        **{f"{split}{SURFACE}": dict(numbers) for split, numbers in measures(survey).items()},
        "parameters": recipe.space.size,
        "seconds": seconds,
        "peak_memory_bytes": peak_bytes(),
    }


def _draw(run: RunDirectory, survey: xr.Dataset, config: SurveyConfig, summary: dict[str, Any]) -> None:
    title = f"{config.model} on {config.data}"
    images = {name: png(figure) for name, figure in view(survey, title=title).items()}
    for name, image in images.items():
        run.write_bytes(f"{name}.png", image)
    tables = {_titled(key): value for key, value in summary.items() if key.endswith(SURFACE)}
    numbers = {key: value for key, value in summary.items() if not key.endswith(SURFACE)}
    config_text = run.config_text()
    write_report(run.path / "report.html", survey, title, numbers, config_text, images, tables)


def _titled(key: str) -> str:
    return f"What the {key.removesuffix(SURFACE)} loss looks like"
