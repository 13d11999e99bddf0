"""The job of ``lossatlas fit``: a configuration and a directory become a fitted chart, its survey and its pictures."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save

from lossatlas.engine import Engine, Plan
from lossatlas.engine.setup import engine_for
from lossatlas.errors import BadInput, CannotFinish, Interrupted
from lossatlas.fitting import Fit
from lossatlas.jobs.checkpoint import restore_checkpoint, write_checkpoint
from lossatlas.jobs.reporter import Reporter, Silent
from lossatlas.metrics import metrics_for
from lossatlas.pictures import score_accuracy, score_loss
from lossatlas.recipes import FitConfig, differences
from lossatlas.recipes.fit import FitRecipe, build_fit
from lossatlas.rundir import PROVENANCE, SUMMARY, MetricsLog, RunDirectory, versions
from lossatlas.schema import split_variable
from lossatlas.surveying import SurveyStore
from lossatlas.surveying.survey import fill, put_target
from lossatlas.views import png, view, write_report

__all__ = ["Estimate", "estimate_fit", "run_fit"]

PLATEAU_GAP = 0.1
"""A fit whose running gap ends below this never left the plateau where every cell looks alike."""
PLATEAU_ADVICE = (
    "never left the plateau where all cells look alike: give it more time (--seconds), a coarser --size, more --cells, "
    "or another --lr or --scale"
)


def run_fit(
    config: FitConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    checkpoint_seconds: float = 10.0,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Fit a picture, survey the chart, draw the pictures and write the report.

    Args:
        config: everything that the result depends on.
        out: the run directory.
        resume: continue what is there; begin where nothing is.
        overwrite: replace a lossatlas run that is there.
        checkpoint_seconds: between checkpoints of the fit; a survey is kept tile by tile.
        reporter: told how things stand.
        stop: asked after every step and tile; True writes a checkpoint and ends the job.

    Returns:
        The summary.

    Raises:
        BadInput: before anything is computed or written.
        CannotFinish: not finite, a plateau with a target, or a disk that refuses; the last checkpoint is whole.
        Interrupted: ``stop`` said so.
    """
    reporter = reporter if reporter is not None else Silent()
    run = RunDirectory(out)
    continuing = resume and run.exists
    if continuing:
        _check_same(run, config)
        if run.finished:
            reporter.say(f"{run.path} is finished")
            return run.read_json(SUMMARY)
    else:
        run.check_free(overwrite=overwrite)
    recipe = build_fit(config)
    plan = Plan.from_dict(run.read_json(PROVENANCE)["plan"]) if continuing else config.plan
    engine = _engine(recipe, config, plan)
    provenance = {
        "versions": versions(),
        "plan": engine.plan.to_dict(),
        "device": str(recipe.train.device),
        "data": {name: split.fingerprint() for name, split in recipe.data.splits.items()},
    }
    if continuing:
        _check_data(run, provenance)
    else:
        run.create(yaml.safe_dump(config.flat(), sort_keys=False), provenance)
    torch.set_num_threads(engine.plan.threads)
    reporter.say(f"engine: {engine.plan.pullback.strategy} to fit, {engine.plan.evaluate.strategy} to survey")

    fit = _make_fit(recipe, config, engine)
    _descend(run, fit, checkpoint_seconds, reporter, stop)
    if fit.reached_target:
        reporter.say(f"reached the target gap after {fit.steps} steps")
    plateau = fit.running.get("gap", 1.0) < PLATEAU_GAP
    run.write_bytes("chart.safetensors", save(_tensors(recipe), _chart_metadata(recipe)))
    if plateau and config.target_gap is not None:
        raise CannotFinish(f"the fit {PLATEAU_ADVICE}")
    if plateau:
        reporter.say(f"the fit {PLATEAU_ADVICE}")

    started = time.perf_counter()
    store = _survey(run, recipe, config, engine, reporter, stop)
    survey_seconds = time.perf_counter() - started
    summary = _summary(recipe, config, fit, store, survey_seconds)
    _draw(run, store, recipe, summary)
    run.write_json(PROVENANCE, {**provenance, "timings": {"fit": fit.seconds, "survey": survey_seconds}})
    run.write_json(SUMMARY, summary)
    return summary


@dataclass(frozen=True)
class Estimate:
    """What a fit would cost."""

    points_per_step: int
    examples_per_step: int
    survey_points: int
    survey_examples: int
    seconds: float
    peak_bytes: int
    disk_bytes: int


def estimate_fit(config: FitConfig) -> Estimate:
    """A dry run: times a few steps and a few surveyed points; writes nothing.

    Raises:
        BadInput: what the run itself would refuse.
    """
    recipe = build_fit(config)
    engine = _engine(recipe, config, config.plan)
    fit = _make_fit(recipe, config, engine)
    step_seconds = min(_timed(fit.step) for _ in range(3))
    points = int(np.prod([len(coords) for coords in recipe.picture.grid(config.padding).values()]))
    examples = sum(len(split) for split in recipe.surveyed.values())
    sample = min(points, engine.plan.evaluate.points)
    with torch.no_grad():
        controls = recipe.chart.controls()
        coefficients = recipe.chart.coefficients(torch.zeros(sample, len(recipe.chart.axes)).to(controls))
    metrics = fit.metrics
    first = next(iter(recipe.surveyed.values()))
    point_seconds = _timed(lambda: engine.evaluate(coefficients, controls, first, metrics, config.group)) / sample
    fitting = config.steps * step_seconds if config.steps is not None else (config.seconds or 0.0)
    variables = len(metrics) * 4 + 1
    return Estimate(
        points_per_step=recipe.objective.largest_draw,
        examples_per_step=config.batch_size,
        survey_points=points,
        survey_examples=examples,
        seconds=fitting + points * point_seconds * examples / len(first),
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        disk_bytes=4 * sum(p.numel() for p in recipe.chart.parameters()) * 4
        + points * variables * len(recipe.surveyed)
        + 6_000_000,
    )


def _engine(recipe: FitRecipe, config: FitConfig, plan: str | Plan) -> Engine:
    engine = engine_for(
        recipe.problem,
        recipe.chart,
        recipe.train,
        space=recipe.space,
        buffers=recipe.buffers,
        plan=plan,
        batch_size=config.batch_size,
        group=config.group,
        points=recipe.objective.largest_draw,
    )
    for split in recipe.surveyed.values():
        engine.network.check(split)
    return engine


def _make_fit(recipe: FitRecipe, config: FitConfig, engine: Engine) -> Fit:
    return Fit(
        recipe.chart,
        recipe.objective,
        engine,
        recipe.train,
        recipe.budget,
        optimizer=recipe.optimizer,
        schedule=recipe.schedule,
        batch_size=config.batch_size,
        seed=config.seed,
        target_gap=config.target_gap,
    )


def _check_same(run: RunDirectory, config: FitConfig) -> None:
    if not run.is_run:
        raise BadInput(f"{run.path} is no lossatlas run that could be resumed; choose another --out")
    if found := differences(run.config(), config.flat()):
        raise BadInput(
            f"{run.path} was started with other settings: {'; '.join(found)}; leave them out or use a new --out"
        )


def _check_data(run: RunDirectory, provenance: dict[str, Any]) -> None:
    stored = run.read_json(PROVENANCE)
    for key in ("data", "device"):
        if stored.get(key) != provenance[key]:
            raise BadInput(f"{run.path} was started on other {key}: {stored.get(key)}, now {provenance[key]}")


def _descend(
    run: RunDirectory, fit: Fit, checkpoint_seconds: float, reporter: Reporter, stop: Callable[[], bool]
) -> None:
    """Step until the fit is done, with checkpoints; whatever ends it, the log and the checkpoint agree."""
    length = restore_checkpoint(run, fit)
    with MetricsLog(run.path / "metrics.jsonl", length).open() as log:
        if not length:
            write_checkpoint(run, fit, log.sync())
        written = time.perf_counter()
        while not fit.done:
            try:
                log.append(fit.step())
            except CannotFinish:
                write_checkpoint(run, fit, log.sync())
                raise
            reporter.progress("fit", min(fit.progress, 1.0), fit.running)
            if stop():
                write_checkpoint(run, fit, log.sync())
                raise Interrupted(f"interrupted at step {fit.steps}; continue with --out {run.path} --resume")
            if time.perf_counter() - written > checkpoint_seconds:
                write_checkpoint(run, fit, log.sync())
                written = time.perf_counter()
        write_checkpoint(run, fit, log.sync())
        reporter.progress("fit", 1.0, fit.running)


def _tensors(recipe: FitRecipe) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in recipe.chart.state_dict().items()}


def _chart_metadata(recipe: FitRecipe) -> dict[str, str]:
    return {"chart": type(recipe.chart).__name__, "axes": " ".join(recipe.chart.axes)}


def _survey(
    run: RunDirectory,
    recipe: FitRecipe,
    config: FitConfig,
    engine: Engine,
    reporter: Reporter,
    stop: Callable[[], bool],
) -> SurveyStore:
    grid = recipe.picture.grid(config.padding)
    store = SurveyStore(run.path / "survey.zarr", grid, {"chart": recipe.chart.fingerprint()})
    put_target(store, recipe.picture, config.padding)
    metrics = metrics_for(recipe.problem.loss, recipe.metrics)
    total = int(np.prod(store.shape)) * len(recipe.surveyed)
    finished = 0

    def on_points(count: int) -> None:
        nonlocal finished
        finished += count
        reporter.progress("survey", min(finished / total, 1.0), {})
        if stop():
            raise Interrupted(f"interrupted in the survey; continue with --out {run.path} --resume")

    fill(store, engine, recipe.chart, grid, recipe.surveyed, metrics, config.group, on_points)
    return store


def _summary(
    recipe: FitRecipe, config: FitConfig, fit: Fit, store: SurveyStore, survey_seconds: float
) -> dict[str, Any]:
    survey = store.open()
    per_split = {}
    for split in recipe.surveyed:
        scores: dict[str, Any] = {}
        for name, score in (("accuracy", score_accuracy), ("loss", score_loss)):
            if (variable := split_variable(split, name)) in survey:
                values = recipe.picture.from_grid(survey[variable].values, config.padding)
                drawn = (recipe.picture.drawn(),) if name == "accuracy" else ()
                scores |= score(recipe.picture, values.astype(np.float64), *drawn)
        per_split[split] = scores
    headline = per_split.get("test", next(iter(per_split.values()), {}))
    return {
        **headline,
        **{f"{split}_scores": scores for split, scores in per_split.items()},
        "pattern": recipe.picture.name,
        "shape": list(recipe.picture.shape),
        "parameters": recipe.space.size,
        "scale": float(recipe.chart.scale.detach()),
        "steps": fit.steps,
        "seconds": fit.seconds,
        "seconds_per_step": fit.seconds / max(1, fit.steps),
        "survey_seconds": survey_seconds,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _draw(run: RunDirectory, store: SurveyStore, recipe: FitRecipe, summary: dict[str, Any]) -> None:
    survey = store.open().load()
    title = f"{recipe.picture.name}, {'x'.join(map(str, recipe.picture.shape))}"
    images = {name: png(figure) for name, figure in view(survey, title=title).items()}
    for name, image in images.items():
        run.write_bytes(f"{name}.png", image)
    config = (run.path / "config.yaml").read_text()
    try:
        write_report(run.path / "report.html", survey, title, summary, config, images)
    except OSError as error:
        raise CannotFinish(f"cannot write {run.path / 'report.html'} ({error.strerror}); use --resume") from error


def _timed(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
