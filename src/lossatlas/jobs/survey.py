"""The job of ``lossatlas survey``: the surroundings of a network, and the losses on its way there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from lossatlas import schema
from lossatlas.charts import chart_bytes
from lossatlas.engine import Engine, Plan
from lossatlas.engine.planning import measuring_seconds
from lossatlas.engine.setup import engine_for
from lossatlas.errors import Interrupted
from lossatlas.jobs.estimate import Estimate, peak_bytes, timed
from lossatlas.jobs.reporter import Reporter, Silent
from lossatlas.jobs.starting import Start
from lossatlas.metrics import metrics_for, streaming_metrics
from lossatlas.recipes import SurveyConfig, completed
from lossatlas.recipes.survey import SurveyedPath, SurveyRecipe, build_survey
from lossatlas.rundir import SUMMARY, SURVEY, RunDirectory
from lossatlas.surveying import SurveyStore
from lossatlas.surveying.standing import Standing
from lossatlas.surveying.survey import fill
from lossatlas.views import png, view, write_report
from lossatlas.weights.files import load_state

__all__ = ["estimate_survey", "run_survey"]


def run_survey(
    config: SurveyConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    pictures: bool = True,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Survey a slice around a network, evaluate the way to it if there is one, draw the pictures, write the report.

    Args:
        config: everything that the result depends on.
        out: the run directory.
        resume: continue what is there, tile by tile; begin where nothing is.
        overwrite: replace a lossatlas run that is there.
        pictures: draw the survey and write the report.
        reporter: told how things stand.
        stop: asked after every tile and snapshot; True ends the job.

    Returns:
        The summary.

    Raises:
        BadInput: before anything is computed or written.
        CannotFinish: a disk that refuses.
        Interrupted: ``stop`` said so.
    """
    reporter = reporter if reporter is not None else Silent()
    start = Start(config, out, resume=resume, overwrite=overwrite)
    run, config = start.run, start.config
    if start.finished:
        reporter.say(f"{run.path} is finished")
        return run.read_json(SUMMARY)
    recipe = build_survey(config)
    plan = Plan.from_dict(start.stored("plan", {})) if start.continuing else config.plan
    engine = _engine(recipe, config, plan)
    start.put(
        recipe.chart.origin.device,
        recipe.fingerprints(),
        plan=engine.plan.to_dict(),
        normalisation=recipe.data.normalisation,
    )
    torch.set_num_threads(engine.plan.threads)
    reporter.say(f"engine: {engine.plan.evaluate.strategy} to survey; {engine.plan.reason}")
    started = time.perf_counter()
    run.write_bytes("chart.safetensors", chart_bytes(recipe.chart))
    attributes = {"chart": recipe.chart.fingerprint()}
    store = SurveyStore(run.path / SURVEY, recipe.grid, attributes, recipe.labels)
    metrics = metrics_for(recipe.problem.loss, recipe.metrics)
    total = math.prod(store.shape) * len(recipe.surveyed)
    finished = 0

    def on_points(count: int) -> None:
        nonlocal finished
        finished += count
        reporter.progress("survey", min(finished / total, 1.0), {})
        if stop():
            raise Interrupted(f"interrupted in the survey; continue with --out {run.path} --resume")

    fill(store, engine, recipe.chart, recipe.grid, recipe.surveyed, metrics, config.group, on_points)
    if recipe.path is not None:
        _follow(run, store, recipe, recipe.path, config, engine, reporter, stop)
    seconds = time.perf_counter() - started
    survey = store.open().load()
    summary = _summary(recipe, survey, seconds)
    if pictures:
        _draw(run, survey, config, summary)
    start.finish(summary, {"survey": seconds})
    return summary


def estimate_survey(config: SurveyConfig) -> Estimate:
    """A dry run: times a few points; writes nothing.

    Raises:
        BadInput: what the run itself would refuse.
    """
    recipe = build_survey(completed(config))
    engine = _engine(recipe, config, config.plan)
    points = math.prod(len(coords) for coords in recipe.grid.values())
    examples = sum(len(split) for split in recipe.surveyed.values())
    sample = min(points, engine.plan.evaluate.points)
    with torch.no_grad():
        controls = recipe.chart.controls()
        coefficients = recipe.chart.coefficients(torch.zeros(sample, len(recipe.chart.axes)).to(controls))
    metrics = streaming_metrics(recipe.problem.loss)
    first = next(iter(recipe.surveyed.values()))
    point_seconds = timed(lambda: engine.evaluate(coefficients, controls, first, metrics, config.group)) / sample
    work = {"survey": f"{points:,} points x {examples:,} examples"}
    visited = points
    if recipe.path is not None:
        work["path"] = f"{len(recipe.path.way):,} snapshots x {examples:,} examples"
        # A snapshot is evaluated twice, on the way and in the plane, and its gradient taken once.
        visited += 6 * len(recipe.path.way)
    return Estimate(
        work=work,
        seconds=visited * point_seconds * examples / len(first),
        peak_bytes=peak_bytes(),
        disk_bytes=4 * recipe.space.size * 4 + points * 9 * len(recipe.surveyed) + 6_000_000,
    )


def _engine(recipe: SurveyRecipe, config: SurveyConfig, plan: str | Plan) -> Engine:
    engine = engine_for(
        recipe.problem,
        recipe.chart,
        next(iter(recipe.surveyed.values())),
        space=recipe.space,
        buffers=recipe.buffers,
        plan=plan,
        precision=config.precision,
        memory=config.memory,
        measuring=measuring_seconds(None),
        group=config.group,
    )
    for split in recipe.surveyed.values():
        engine.network.check(split)
    return engine


def _follow(
    run: RunDirectory,
    store: SurveyStore,
    recipe: SurveyRecipe,
    path: SurveyedPath,
    config: SurveyConfig,
    engine: Engine,
    reporter: Reporter,
    stop: Callable[[], bool],
) -> None:
    """The path in the plane and elsewhere, its losses beside those under it, and how it goes against the gradient."""
    way, here = path.way, path.here
    with torch.no_grad():
        controls = recipe.chart.controls()
        coefficients = recipe.chart.coefficients(here.coords.to(controls))
    metrics = streaming_metrics(recipe.problem.loss, ["loss"])
    under = {
        name: engine.evaluate(coefficients, controls, split, metrics, config.group)["loss"].numpy()
        for name, split in recipe.surveyed.items()
    }
    losses: dict[str, list[float]] = {name: [] for name in recipe.surveyed}
    angles = []
    descended, examples = next(iter(recipe.surveyed.items()))
    for index, snapshot in enumerate(way.snapshots):
        load_state(recipe.problem.module, snapshot.state(), f"snapshot {snapshot.path}")
        # Running statistics are the snapshot's own here, whatever they mean in the plane.
        there = Standing(recipe.problem, recipe.space, examples, engine.plan, config.group)
        for name, split in recipe.surveyed.items():
            losses[name].append(there.evaluate(split, metrics)["loss"])
        angles.append(math.nan)
        if index + 1 < len(way):
            angles[-1] = _degrees(way.vector(index + 1) - way.vector(index), -there.gradient(examples).cpu())
        reporter.progress("path", (index + 1) / len(way), {})
        if stop():
            raise Interrupted(f"interrupted on the path; continue with --out {run.path} --resume")

    def put(name: str, values: Any, long_name: str, units: str = "1", **attributes: Any) -> None:
        array = np.asarray(values, dtype=np.float64)
        dimensions = ("plane", schema.SNAPSHOT, "axis") if array.ndim == 3 else (schema.SNAPSHOT,)
        store.put_beside(name, dimensions, array, {"long_name": long_name, "units": units, **attributes})

    names = schema.Path
    put(names.STEP, [snapshot.step for snapshot in way.snapshots], "step")
    for name, key in ((names.EPOCH, "epoch"), (names.RATE, "lr"), (names.PHASE, "phase")):
        told = [snapshot.scalars.get(key) for snapshot in way.snapshots]
        put(name, [math.nan if value is None else value for value in told], key)
    for k, axis in enumerate(recipe.chart.axes):
        put(names.coordinate(axis), here.coords[:, k], axis, captured=float(here.shares[k]))
    put(names.DISTANCE, here.distances, "distance from the plane", captured=here.captured)
    put(names.ANGLE, angles, "angle between step and negative gradient", "degree", split=descended)
    put(names.EXPLAINED, path.explained, "share of the variance along each principal component")
    for name in recipe.surveyed:
        put(names.loss(name), losses[name], f"{name} loss on the path", "nat")
        put(names.loss_under(name), under[name], f"{name} loss in the plane under it", "nat")
    others = list(path.elsewhere.values())
    put(
        names.ELSEWHERE,
        torch.stack([other.coords for other in others]),
        "path in other planes",
        planes=list(path.elsewhere),
        captured=[other.captured for other in others],
    )


def _degrees(one: Tensor, other: Tensor) -> float:
    """The angle between two vectors (n,); NaN where one of them is zero."""
    lengths = float(one.double().norm() * other.double().norm())
    if not lengths > 0:
        return math.nan
    return math.degrees(math.acos(max(-1.0, min(1.0, float(one.double() @ other.double()) / lengths))))


def _summary(recipe: SurveyRecipe, survey: xr.Dataset, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {} if recipe.path is None else _path_summary(recipe.path, recipe, survey)
    for name in recipe.surveyed:
        variable = schema.split_variable(name, "loss")
        if variable in survey:
            values = survey[variable].values[np.isfinite(survey[variable].values)]
            ends = (float(values.min()), float(values.max())) if values.size else (None, None)
            found |= {f"{name}_lowest_loss": ends[0], f"{name}_highest_loss": ends[1]}
    return {**found, "parameters": recipe.space.size, "seconds": seconds, "peak_memory_bytes": peak_bytes()}


def _path_summary(path: SurveyedPath, recipe: SurveyRecipe, survey: xr.Dataset) -> dict[str, Any]:
    numbers = {
        "captured_variance": path.here.captured,
        "explained_by_components": path.explained[:10].tolist(),
        **{
            f"captured_by_{axis}": float(share) for axis, share in zip(recipe.chart.axes, path.here.shares, strict=True)
        },
        "captured_elsewhere": {name: other.captured for name, other in path.elsewhere.items()},
        "snapshots": len(path.way),
        "largest_distance_from_plane": float(survey[schema.Path.DISTANCE].values.max()),
        "median_angle_to_gradient": _median(survey[schema.Path.ANGLE].values),
    }
    for name in recipe.surveyed:
        true, under = (survey[of(name)].values for of in (schema.Path.loss, schema.Path.loss_under))
        numbers |= {f"{name}_loss_start": float(true[0]), f"{name}_loss_end": float(true[-1])}
        numbers |= {f"{name}_largest_loss_difference": float(np.abs(true - under).max())}
    return numbers


def _median(values: npt.NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def _draw(run: RunDirectory, survey: xr.Dataset, config: SurveyConfig, summary: dict[str, Any]) -> None:
    title = f"{config.model} on {config.data}"
    images = {name: png(figure) for name, figure in view(survey, title=title).items()}
    for name, image in images.items():
        run.write_bytes(f"{name}.png", image)
    write_report(run.path / "report.html", survey, title, summary, (run.path / "config.yaml").read_text(), images)
