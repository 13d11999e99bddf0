"""The job of ``lossatlas compare``: trained networks, what lies between them, and how differently they predict."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from lossatlas.engine.buffers_policy import normalisations_with_statistics
from lossatlas.engine.memory import memory_limit
from lossatlas.engine.planning import MEASURING_SECONDS, check_plan
from lossatlas.engine.precisions import check_precision
from lossatlas.errors import Interrupted
from lossatlas.exchange.comparison import COMPARISON
from lossatlas.files.reading import resolved
from lossatlas.jobs.compared import choose_compared, compare_predictions, make_comparison, summarise_comparison
from lossatlas.jobs.estimate import Estimate, measure_peak_bytes, measure_seconds
from lossatlas.jobs.forecast import PICTURES, Forecast, Phase
from lossatlas.jobs.job import Handling, Job
from lossatlas.jobs.pictures import write_pictures
from lossatlas.jobs.sampling import ONCE, SUSTAINED, Rate
from lossatlas.jobs.starting import Start
from lossatlas.jobs.survey import estimate_cost, run_survey
from lossatlas.recipes import CompareConfig, SurveyConfig
from lossatlas.recipes.compare import CompareRecipe, build_compare
from lossatlas.recipes.compare_surveys import ComparedSurvey, count_points, find_start_file, list_surveys
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.survey import build_survey
from lossatlas.rundir import PROVENANCE, REPORT, SURVEY, RunDirectory
from lossatlas.surveying.store import read_survey
from lossatlas.views import draw
from lossatlas.views.comparing import write_comparison
from lossatlas.weights.files import state_bytes

__all__ = ["run_compare"]

SURVEYS = "surveys"
MEASURING = 0.5
"""Seconds that a plan is measured for which only foretells."""
STORED = 0.4
"""Seconds that the files of a survey take, about, whatever its size."""


def _carry_out(start: Start[CompareConfig], how: Handling) -> dict[str, Any]:
    """Survey around and between networks, compare what they predict, draw the pictures, write the report.

    Each surface, line and slice is a run of its own in ``out/surveys``, which can be viewed by itself; those that are
    finished are not surveyed again. ``comparison.nc`` holds the data.
    """
    run, config = start.run, start.config
    recipe = build_compare(config)
    _check(config, recipe)
    start.put(recipe.problems[0].device, recipe.fingerprints(), disk=recipe.extent.disk)
    for line in (f"loss: {recipe.problems[0].problem.loss.record}", *recipe.notes):
        how.reporter.say(line)
    started = time.perf_counter()
    for key, origin in recipe.origins.items():
        if not origin.spec and not find_start_file(run.path, key).is_file():
            run.write_bytes(str(find_start_file(Path(), key)), state_bytes(origin.state))
    tasks = list_surveys(config, recipe, resolved(run.path))
    how.foretell(lambda: _phases(config, recipe, tasks, run.path, how.pictures))
    found = _surveys(config, tasks, run, how)
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
        write_pictures(run, pictures)
        write_comparison(run.path / REPORT, data, summary, run.config_text(), pictures)
    start.finish(summary, {"compare": summary["seconds"]})
    return summary


def _estimate(config: CompareConfig) -> Estimate:
    """A dry run: times a few points of a slice of each architecture; writes nothing.

    Raises:
        BadInput: what the run itself would refuse.
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
        chunk_bytes=memory_limit(config.memory, recipe.problems[0].device),
        disk_bytes=len(tasks) * 5 * 4 * len(largest.weights) + 9 * points * len(config.splits) + 3_000_000,
    )


run_compare = Job(CompareConfig, _carry_out, _estimate)
"""The job of ``lossatlas compare``."""


def _phases(
    config: CompareConfig, recipe: CompareRecipe, tasks: Sequence[ComparedSurvey], run: Path, pictures: bool
) -> Iterator[Phase]:
    """What is to come.

    Args:
        config: of the comparison.
        recipe: its objects.
        tasks: its surveys.
        run: the directory with those that are finished.
        pictures: whether there will be any.
    """
    seconds = worst = predicting = 0.0
    for architecture, base in enumerate(recipe.problems):
        own = [task for task in tasks if task.architecture == architecture]
        left = [task for task in own if not RunDirectory(run / SURVEYS / task.name).finished]
        # A slice stands for all: initial weights that are yet to be written can be surveyed from nowhere.
        fixed, planning, unit = _timed(config, next(task.config for task in own if task.kind == "slice"))
        normalised = bool(normalisations_with_statistics(base.problem.module)) and config.buffers != "batch"
        units = sum(_units(config, base, task, normalised) for task in left)
        seconds += len(left) * fixed + units * unit.seconds + (planning if len(left) == len(own) else 0.0)
        worst += len(left) * fixed * ONCE + units * unit.seconds * unit.factor
        networks = sum(network.architecture == architecture for network in recipe.networks)
        predicting += networks * (fixed + len(choose_compared(base)) * unit.seconds)
    yield Phase("surveys", seconds, max(SUSTAINED, worst / seconds) if seconds else 1.0)
    yield Phase("predictions", predicting, ONCE)
    if pictures:
        yield PICTURES


def _units(config: CompareConfig, base: ProblemRecipe, task: ComparedSurvey, normalised: bool) -> int:
    """Points times examples of a survey, those that statistics are estimated from among them."""
    everything = [len(base.data.splits[name]) for name in config.splits]
    examples = [min(length, int(config.examples)) if config.examples != "all" else length for length in everything]
    estimated = normalised and (task.kind != "slice" or config.buffers == "reestimated")
    passed = config.buffers_batches * config.eval_batch_size if estimated else 0
    return count_points(task.config) * sum(passed + count for count in examples)


def _timed(config: CompareConfig, survey: SurveyConfig) -> tuple[float, float, Rate]:
    """Seconds of a survey whatever its size, and of its plan; and what a point on an example takes."""
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
    """Refuse what the surveys would refuse, before anything is written."""
    check_plan(config.plan)
    check_precision(config.precision)
    tasks = [task for task in list_surveys(config, recipe, Path()) if task.kind == "slice"]
    for architecture in range(len(recipe.problems)):
        build_survey(next(task.config for task in tasks if task.architecture == architecture))


def _surveys(
    config: CompareConfig, tasks: Sequence[ComparedSurvey], run: RunDirectory, how: Handling
) -> dict[tuple[str, tuple[int, ...]], xr.Dataset]:
    """All surveys, by their kind and the networks that they are about; carried out as far as they are not finished."""
    plans: dict[int, str] = {}
    found = {}
    for index, task in enumerate(tasks):
        place = run.path / SURVEYS / task.name
        # A race for every small survey would take longer than these; the first of an architecture runs for all.
        settings = replace(task.config, plan=plans.get(task.architecture, config.plan))
        if config.plan == "auto":
            plans.setdefault(task.architecture, str(resolved(place / PROVENANCE)))
        how.reporter.progress("compare", index / len(tasks), {})
        try:
            if how.stop():
                raise Interrupted("")
            run_survey(settings, place, resume=True, pictures=False, stop=how.stop)
        except Interrupted as error:
            raise Interrupted(f"interrupted in the comparison; continue with --out {run.path} --resume") from error
        found[task.kind, task.places] = read_survey(place / SURVEY)
    how.reporter.progress("compare", 1.0, {})
    return found
