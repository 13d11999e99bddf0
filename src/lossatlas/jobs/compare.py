"""The job of ``lossatlas compare``: trained networks, the loss between them, and how differently they predict."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from lossatlas.engine.buffers_policy import find_normalisation_layers
from lossatlas.engine.memory import find_memory_limit
from lossatlas.engine.planning import MEASURING_SECONDS, check_plan
from lossatlas.engine.precisions import check_precision
from lossatlas.errors import Interrupted, locate_error
from lossatlas.exchange.comparison import COMPARISON, read_comparison
from lossatlas.files.reading import resolve_path
from lossatlas.jobs.compared import choose_compared, compare_predictions, make_comparison, summarise_comparison
from lossatlas.jobs.estimate import Estimate, Pieces, measure_peak_bytes, measure_seconds
from lossatlas.jobs.forecast import PICTURES, Forecast, Phase
from lossatlas.jobs.job import Handling, Job
from lossatlas.jobs.pictures import write_pictures
from lossatlas.jobs.pooled_runs import PooledRun, carry_out_pooled
from lossatlas.jobs.sampling import ONCE, SUSTAINED, Rate
from lossatlas.jobs.starting import Start
from lossatlas.jobs.survey import estimate_cost, run_survey
from lossatlas.pools import Pool
from lossatlas.presence import record_runs
from lossatlas.recipes import CompareConfig, SurveyConfig
from lossatlas.recipes.compare import CompareRecipe, build_compare
from lossatlas.recipes.compare_surveys import ComparedSurvey, count_points, find_start_file, list_surveys
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.survey import build_survey
from lossatlas.rundir import PROVENANCE, REPORT, SURVEY, RunDirectory
from lossatlas.surveying.region import select_whole_grid
from lossatlas.surveying.store import read_survey
from lossatlas.views import draw
from lossatlas.views.comparing import write_comparison
from lossatlas.weights.files import serialise_state

__all__ = ["run_compare"]

SURVEYS = "surveys"
MEASURING = 0.5
"""The seconds for which a plan is measured that serves a forecast only."""
STORED = 0.4
"""The approximate seconds for writing the files of a survey, whatever its size."""


def _carry_out(start: Start[CompareConfig], how: Handling) -> dict[str, Any]:
    """Survey around and between networks, compare their predictions, draw the pictures, write the report.

    Each surface, line and slice is a run of its own in ``out/surveys``, which can be viewed by itself; finished ones
    are not repeated. ``comparison.nc`` holds the data.
    """
    run, config, spreading = start.run, start.config, how.spreading
    recipe = build_compare(config)
    _check(config, recipe)
    surveys, device = _count_surveys(list_surveys(config, recipe, Path())), recipe.problems[0].device
    if not start.continuing:
        spreading.check_pieces(surveys)
    with spreading.limit(surveys, device).open_pool(run.path, device) as pool:
        return _compare(start, how, recipe, pool)


def _compare(start: Start[CompareConfig], how: Handling, recipe: CompareRecipe, pool: Pool | None) -> dict[str, Any]:
    """Make the run directory, carry out the surveys, by the workers of a pool if there is one, and compare."""
    run, config = start.run, start.config
    start.put(recipe.problems[0].device, recipe.fingerprints(), disk=recipe.extent.disk)
    for line in (f"loss: {recipe.problems[0].problem.loss.record}", *recipe.notes):
        how.reporter.say(line)
    started = time.perf_counter()
    for key, origin in recipe.origins.items():
        if not origin.spec and not find_start_file(run.path, key).is_file():
            run.write_bytes(str(find_start_file(Path(), key)), serialise_state(origin.state))
    tasks = list_surveys(config, recipe, resolve_path(run.path))
    record_runs(run, [task.name for task in tasks])
    how.foretell(lambda: _phases(config, recipe, tasks, run.path, how.pictures), SURVEYS, pool)
    found = _surveys(config, tasks, run, how, pool)
    how.reporter.say("comparing what the networks predict")
    data = make_comparison(config, recipe, found, compare_predictions(recipe, config.eval_batch_size))
    summary = {
        **summarise_comparison(data),
        "seconds": time.perf_counter() - started,
        "peak_memory_bytes": measure_peak_bytes(),
    }
    run.write_bytes(COMPARISON, bytes(data.to_netcdf(engine="scipy")))
    if how.pictures:
        pictures = draw(data)
        rendered = write_pictures(run, pictures)
        write_comparison(run.path / REPORT, data, summary, run.config_text(), pictures, rendered)
    start.finish(summary, {"compare": summary["seconds"]})
    return summary


def _estimate(config: CompareConfig) -> Estimate:
    """Estimate the cost of a run by timing a few points of a slice of each architecture; writes nothing.

    Raises:
        BadInput: the run itself would be refused.
    """
    recipe = build_compare(config)
    _check(config, recipe)
    tasks = list_surveys(config, recipe, Path())
    kinds = [task.kind for task in tasks]
    points = sum(count_points(task.config) for task in tasks)
    largest = max(recipe.networks, key=lambda network: len(network.weights))
    return Estimate(
        work={
            "compare": f"{len(recipe.networks)} networks, {points:,} points in all",
            "survey": ", ".join(f"{kinds.count(kind)} {kind}s" for kind in dict.fromkeys(kinds)),
        },
        forecast=Forecast(list(_phases(config, recipe, tasks, Path("nowhere", "at all"), pictures=True))),
        peak_bytes=measure_peak_bytes(),
        chunk_bytes=find_memory_limit(config.memory, recipe.problems[0].device),
        pieces=_count_surveys(tasks),
        disk_bytes=len(tasks) * 5 * 4 * len(largest.weights) + 9 * points * len(config.splits) + 3_000_000,
    )


run_compare = Job(CompareConfig, _carry_out, _estimate, reread=read_comparison)
"""The job of ``lossatlas compare``."""


def _count_surveys(tasks: Sequence[ComparedSurvey]) -> Pieces:
    """Count the surveys that workers can carry out at once."""
    return Pieces(SURVEYS, len(tasks), "surveys")


def _phases(
    config: CompareConfig, recipe: CompareRecipe, tasks: Sequence[ComparedSurvey], run: Path, pictures: bool
) -> Iterator[Phase]:
    """Yield the phases that are still to come.

    Args:
        config: the configuration of the comparison.
        recipe: its recipe.
        tasks: its surveys.
        run: the directory with the finished surveys.
        pictures: whether pictures will be drawn.
    """
    seconds = worst = predicting = 0.0
    for architecture, base in enumerate(recipe.problems):
        own = [task for task in tasks if task.architecture == architecture]
        left = [task for task in own if not RunDirectory(run / SURVEYS / task.name).finished]
        # A slice represents all: surveys from initial weights need these to be written first.
        fixed, planning, unit = _timed(config, next(task.config for task in own if task.kind == "slice"))
        normalised = bool(find_normalisation_layers(base.problem.module)) and config.buffers != "batch"
        units = sum(_units(config, base, task, normalised) for task in left)
        seconds += len(left) * fixed + units * unit.seconds + (planning if len(left) == len(own) else 0.0)
        worst += len(left) * fixed * ONCE + units * unit.seconds * unit.factor
        networks = sum(network.architecture == architecture for network in recipe.networks)
        predicting += networks * (fixed + len(choose_compared(base)) * unit.seconds)
    yield Phase(SURVEYS, seconds, max(SUSTAINED, worst / seconds) if seconds else 1.0)
    yield Phase("predictions", predicting, ONCE)
    if pictures:
        yield PICTURES


def _units(config: CompareConfig, base: ProblemRecipe, task: ComparedSurvey, normalised: bool) -> int:
    """Return the points times examples of a survey, including those from which statistics are re-estimated."""
    everything = [len(base.data.splits[name]) for name in config.splits]
    examples = [min(length, int(config.examples)) if config.examples != "all" else length for length in everything]
    estimated = normalised and (task.kind != "slice" or config.buffers == "reestimated")
    passed = config.buffers_batches * config.eval_batch_size if estimated else 0
    return count_points(task.config) * sum(passed + count for count in examples)


def _timed(config: CompareConfig, survey: SurveyConfig) -> tuple[float, float, Rate]:
    """Measure the fixed seconds of a survey, those of its plan, and the rate per point and example."""
    begin = time.perf_counter()
    recipe = build_survey(survey)
    built = time.perf_counter() - begin
    begin = time.perf_counter()
    engine = recipe.build_engine(config.plan, measuring=MEASURING)
    planned = time.perf_counter() - begin
    checked = measure_seconds(partial(recipe.build_engine, engine.plan))
    unit = estimate_cost(recipe, engine).unit
    planning = max(0.0, planned - checked) + (MEASURING_SECONDS - MEASURING) * (config.plan == "auto")
    return built + checked + STORED, planning, unit


def _check(config: CompareConfig, recipe: CompareRecipe) -> None:
    """Refuse what the surveys would refuse, before any output is written."""
    check_plan(config.plan)
    check_precision(config.precision)
    tasks = [task for task in list_surveys(config, recipe, Path()) if task.kind == "slice"]
    for architecture in range(len(recipe.problems)):
        build_survey(next(task.config for task in tasks if task.architecture == architecture))


def _surveys(
    config: CompareConfig, tasks: Sequence[ComparedSurvey], run: RunDirectory, how: Handling, pool: Pool | None
) -> dict[tuple[str, tuple[int, ...]], xr.Dataset]:
    """Carry out the surveys that are not finished; returns all by their kind and the indices of their networks."""
    surveys: dict[str, PooledRun[SurveyConfig]] = {}
    plans: dict[int, str] = {}
    for task in tasks:
        place = run.path / SURVEYS / task.name
        # Measuring a plan takes longer than a small survey, so the plan of an architecture's first serves all.
        surveys[task.name] = PooledRun(replace(task.config, plan=plans.get(task.architecture, config.plan)), place)
        if config.plan == "auto":
            plans.setdefault(task.architecture, str(resolve_path(place / PROVENANCE)))
    try:
        if pool is None:
            _carry_out_here(surveys, how)
        else:
            with closing(carry_out_pooled(pool, surveys, how, "comparison")) as ended:
                for name, error in ended:
                    if error is not None:
                        raise locate_error(error, f"in survey {name}")
    except Interrupted as error:
        raise Interrupted(f"interrupted in the comparison; continue with --out {run.path} --resume") from error
    # All of a kind on one grid, even where a region of one is finer.
    found = ((task, read_survey(surveys[task.name].out / SURVEY)) for task in tasks)
    return {(task.kind, task.places): select_whole_grid(survey) for task, survey in found}


def _carry_out_here(surveys: Mapping[str, PooledRun[SurveyConfig]], how: Handling) -> None:
    """Carry out surveys one after the other."""
    for index, survey in enumerate(surveys.values()):
        how.tell("compare", index / len(surveys))
        spreading = how.spreading.by_itself
        run_survey(survey.config, survey.out, resume=True, pictures=False, stop=how.stop, spreading=spreading)
    how.tell("compare", 1.0)
