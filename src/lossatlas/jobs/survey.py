"""The job of ``lossatlas survey``: the loss around networks, and along a trajectory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from lossatlas import schema
from lossatlas.charts import encode_chart
from lossatlas.engine import Engine, Plan, StreamingMetric
from lossatlas.engine.memory import find_memory_limit
from lossatlas.jobs.estimate import Estimate, Pieces, measure_peak_bytes
from lossatlas.jobs.follow_trajectory import follow_trajectory, is_followed, summarise_trajectory
from lossatlas.jobs.forecast import PICTURES, Forecast, Phase
from lossatlas.jobs.job import Handling, Job
from lossatlas.jobs.pictures import draw_survey
from lossatlas.jobs.sampling import SUSTAINED
from lossatlas.jobs.starting import Start
from lossatlas.jobs.survey_cost import Left, SurveyCost, count_points_left
from lossatlas.machine import name_machine
from lossatlas.measures import measure_survey
from lossatlas.metrics import group_by_computation
from lossatlas.pools import Pool
from lossatlas.recipes import SurveyConfig, complete
from lossatlas.recipes.survey import SurveyRecipe, build_survey
from lossatlas.rundir import CHART, SUMMARY, SURVEY, RunDirectory
from lossatlas.studies import histogram_weights
from lossatlas.surveying import SurveyStore
from lossatlas.surveying.arrays import TILED, shape_tile
from lossatlas.surveying.distorting import put_distortion, select_domain, summarise_distortion
from lossatlas.surveying.growth import merge_grid
from lossatlas.surveying.probe import PROBE
from lossatlas.surveying.store import has_description

__all__ = ["estimate_cost", "put_networks", "run_survey"]

SHARED = "survey"
"""The phase that workers share."""
SURFACE = "_surface"
"""The suffix of the parts of a summary that describe the surface of a split."""
TYPICAL = 4
"""The typical ratio of the points that a refinement evaluates to those of its coarsest grid."""


def _carry_out(start: Start[SurveyConfig], how: Handling) -> dict[str, Any]:
    """Survey a chart, evaluate a trajectory on it if there is one, draw the pictures, write the report."""
    run = start.run
    recipe = build_survey(start.config, run=run.path if start.continuing else None)
    if start.continuing:
        _check_points(run.path / SURVEY, recipe)
    else:
        how.spreading.check_pieces(_count_tiles(recipe))
    batches = sum(-(-len(split) // recipe.config.eval_batch_size) for split in recipe.surveyed.values())
    plan, device = start.find_plan(recipe.config.plan), recipe.base.device
    how = replace(how, spreading=how.spreading.limit(_count_tiles(recipe), device))
    with how.spreading.planning(device):
        engine = recipe.build_engine(plan, evaluations=_likely_points(recipe) * batches)
    with how.spreading.open_pool(run.path, device, engine.plan.threads) as pool:
        return _survey(start, how, recipe, engine, pool)


def _survey(
    start: Start[SurveyConfig], how: Handling, recipe: SurveyRecipe, engine: Engine, pool: Pool | None
) -> dict[str, Any]:
    """Make the run directory, fill its store, by the workers of a pool if there is one, and summarise it."""
    run, reporter = start.run, how.reporter
    start.put_planned(recipe, engine, recipe.extent)
    how.attendance.join(name_machine(engine.network.device))
    if (planned := Plan.from_dict(start.stored("plan", {}))) != engine.plan:
        engine = recipe.build_engine(planned)  # another process started the run just before
        torch.set_num_threads(engine.plan.threads)
    engine_note = f"engine: {engine.plan.evaluate.strategy} to survey; {engine.plan.reason}"
    how.introduce(recipe.problem, recipe.data, engine_note, *recipe.notes)
    started = time.perf_counter()
    surveyor = recipe.build_surveyor(engine)
    recorded = {TILED: recipe.config.tile_points, PROBE: surveyor.probe(recipe.grid).record()}
    path = run.path / SURVEY
    with SurveyStore.of_chart(
        path, recipe.chart, recipe.grid, recorded=recorded, say=reporter.say, claims=how.spreading.claims
    ) as store:
        surveyor.check(store)
        start.reopen()
        with store.alone("beside"):
            if not (how.attendance.has_company and (run.path / CHART).is_file()):
                run.write_bytes(CHART, encode_chart(recipe.chart))
            put_networks(store, recipe)
            if recipe.chart.curved:
                put_distortion(store, recipe.chart)
        left = count_points_left(path, _likely_points(recipe))
        followed = recipe.site.trajectory is not None and is_followed(store, recipe)
        phases = partial(_phases, recipe, estimate_cost(recipe, engine), left, followed, how.pictures)
        how.foretell(phases, SHARED, pool)
        how.fill(surveyor, store, SHARED, recipe.refinement, pool)
        with store.alone("finish"):
            if run.finished:  # by another process, while this one waited
                return run.read_json(SUMMARY)
            if recipe.site.trajectory is not None:
                follow_trajectory(run, store, recipe, recipe.site.trajectory, engine, how)
            seconds = time.perf_counter() - started
            survey = store.open().load()
            summary = _summary(recipe, survey, seconds)
            if how.pictures:
                _draw(run, survey, recipe.config, summary)
            start.finish(summary, {"survey": seconds})
    return summary


def _estimate(config: SurveyConfig) -> Estimate:
    """Estimate the cost of a run by timing a few points; writes nothing.

    Raises:
        BadInput: the run itself would be refused.
    """
    arrived, begin = time.process_time(), time.perf_counter()  # the preparation takes the same time again in the run
    recipe = build_survey(complete(config))
    engine = recipe.build_engine(config.plan)
    prepared = arrived + time.perf_counter() - begin
    cost = estimate_cost(recipe, engine)
    points, examples = _likely_points(recipe), sum(len(split) for split in recipe.surveyed.values())
    work = {"survey": f"{points:,} points x {examples:,} examples"}
    followed = recipe.site.trajectory
    if followed is not None:
        work["trajectory"] = f"{len(followed.trajectory):,} snapshots x {examples:,} examples"
    phases = _phases(recipe, cost, points, followed=False, pictures=True)
    return Estimate(
        work=work,
        forecast=Forecast([Phase("preparation", prepared, SUSTAINED), *phases]),
        peak_bytes=measure_peak_bytes(),
        chunk_bytes=find_memory_limit(config.memory, engine.network.device),
        pieces=_count_tiles(recipe),
        disk_bytes=4 * recipe.space.size * 4 + points * 9 * len(recipe.surveyed) + 6_000_000,
    )


run_survey = Job(SurveyConfig, _carry_out, _estimate, together=True)
"""The job of ``lossatlas survey``, which several processes may carry out together, tile by tile."""


def estimate_cost(recipe: SurveyRecipe, engine: Engine) -> SurveyCost:
    """Return the cost of evaluating points of a survey, which is measured when it is needed."""
    examples = sum(len(split) for split in recipe.surveyed.values())
    return SurveyCost(recipe, engine, recipe.grid, expected=_likely_points(recipe) * examples)


def _likely_points(recipe: SurveyRecipe) -> int:
    """Estimate the number of points that will be evaluated."""
    points = int(np.prod([len(coords) for coords in recipe.grid.values()]))
    if recipe.refinement is None:
        return points
    # Without a budget it is not known; surfaces around trained networks take three to six times the coarsest points.
    likely = TYPICAL * int(recipe.refinement.coarsest().sum())
    return min(points, recipe.refinement.budget or likely)


def _count_tiles(recipe: SurveyRecipe) -> Pieces:
    """Count the tiles that workers can evaluate at once."""
    shape = [len(coords) for coords in recipe.grid.values()]
    regions = prod(-(-n // side) for n, side in zip(shape, shape_tile(shape, recipe.config.tile_points), strict=True))
    streaming = any(isinstance(metric, StreamingMetric) for metric in recipe.metrics.values())
    groups = len(recipe.surveyed) * (streaming + len(list(group_by_computation(recipe.metrics))))
    advice = f", or fewer points in each tile (--tile_points, {recipe.config.tile_points} now)"
    return Pieces(SHARED, regions * groups, "tiles", advice)


def _phases(
    recipe: SurveyRecipe, cost: SurveyCost, left: Left | float, followed: bool, pictures: bool
) -> Iterator[Phase]:
    """Yield the phases that are still to come.

    Args:
        recipe: the recipe of the survey.
        cost: the cost of its points.
        left: the number of points that are still to be evaluated.
        followed: whether the trajectory on the chart is finished.
        pictures: whether pictures will be drawn.
    """
    examples = {name: len(split) for name, split in recipe.surveyed.items()}
    known = recipe.refinement is None or recipe.refinement.budget is not None
    survey = cost.phase(SHARED, examples, left)
    yield survey if known else replace(survey, factor=max(2.0, survey.factor))
    if recipe.site.trajectory is not None and not followed:
        # Each snapshot is evaluated twice, itself and its projection onto the plane, and its gradient once.
        visits = 6 * len(recipe.site.trajectory.trajectory)
        yield cost.phase("trajectory", examples, visits)
    if pictures:
        yield PICTURES


def _check_points(path: Path, recipe: SurveyRecipe) -> None:
    """Refuse a grid to which the store cannot grow, before the run is changed."""
    if has_description(path):
        merge_grid(path, recipe.grid)


def put_networks(store: SurveyStore, recipe: SurveyRecipe) -> None:
    """Store the coordinates of the networks of the chart, and the histograms of their weights."""
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
    bins, counts = histogram_weights([network.weights for network in networks])
    store.put_beside(schema.Corner.WEIGHT, (schema.Corner.BIN,), bins, {"long_name": "weight", "units": "1"})
    attributes = {"long_name": "weights of a network", "units": "1", **names}
    store.put_beside(schema.Corner.WEIGHTS, (schema.Corner.DIMENSION, schema.Corner.BIN), counts, attributes)


def _summary(recipe: SurveyRecipe, survey: xr.Dataset, seconds: float) -> dict[str, Any]:
    followed = recipe.site.trajectory
    found: dict[str, Any] = {} if followed is None else summarise_trajectory(followed, recipe, survey)
    for name in recipe.surveyed:
        variable = schema.name_variable(name, "loss")
        if variable in survey:
            values = survey[variable].values[np.isfinite(survey[variable].values)]
            ends = (float(values.min()), float(values.max())) if values.size else (None, None)
            found |= {f"{name}_lowest_loss": ends[0], f"{name}_highest_loss": ends[1]}
    if schema.SAMPLE in survey.dims:
        found |= _spread(survey)
    if schema.MEASURED in survey:
        found["points_evaluated"] = int(survey[schema.MEASURED].sum())
    if recipe.chart.curved:
        found |= summarise_distortion(survey, select_domain(recipe.chart, recipe.grid))
    return {
        **found,
        **{f"{split}{SURFACE}": dict(numbers) for split, numbers in measure_survey(survey).items()},
        "parameters": recipe.space.size,
        "seconds": seconds,
        "peak_memory_bytes": measure_peak_bytes(),
    }


def _spread(survey: xr.Dataset) -> dict[str, float]:
    """Compute mean and standard deviation over samples (with K - 1) of what has one number for each."""
    found = {}
    for name, variable in survey.data_vars.items():
        if variable.dims == (schema.SAMPLE,) and variable.dtype.kind == "f":
            values = variable.values.astype(np.float64)
            found[f"{name}_mean"] = float(values.mean())
            found[f"{name}_deviation"] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return found


def _draw(run: RunDirectory, survey: xr.Dataset, config: SurveyConfig, summary: dict[str, Any]) -> None:
    tables = {_titled(key): value for key, value in summary.items() if key.endswith(SURFACE)}
    numbers = {key: value for key, value in summary.items() if not key.endswith(SURFACE)}
    draw_survey(run, survey, f"{config.model} on {config.data}", numbers, tables=tables)


def _titled(key: str) -> str:
    return f"What the {key.removesuffix(SURFACE)} loss looks like"
