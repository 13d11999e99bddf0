"""The job of ``lossatlas connect``: networks and a directory become a curve, what lies along it, and its pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lossatlas import schema
from lossatlas.charts import CoefficientChart, Slice, Through, chart_bytes
from lossatlas.charts.lengths import length, lengths_until
from lossatlas.data import Split
from lossatlas.engine import BuffersPolicy, Engine, Plan
from lossatlas.engine.planning import measuring_seconds
from lossatlas.engine.setup import BATCH, engine_for
from lossatlas.errors import BadInput, Interrupted
from lossatlas.fitting import Fit
from lossatlas.jobs.connect_summary import connect_summary
from lossatlas.jobs.estimate import Estimate, peak_bytes, timed
from lossatlas.jobs.reporter import Reporter, Silent
from lossatlas.jobs.starting import Start
from lossatlas.jobs.stepping import descend
from lossatlas.metrics import streaming_metrics
from lossatlas.recipes import ConnectConfig, completed
from lossatlas.recipes.connect import ConnectRecipe, build_connect
from lossatlas.rundir import CHART, SUMMARY, SURVEY, RunDirectory
from lossatlas.streams import generator
from lossatlas.surveying import Surveyor, SurveyStore
from lossatlas.surveying.best_plane import best_plane
from lossatlas.surveying.ensembles import ensembles_along
from lossatlas.views import png, view, write_report

__all__ = ["PLANE", "estimate_connect", "run_connect"]

PLANE = "plane.zarr"
"""The survey of the plane of the curve."""
OTHERS = {"straight": "straight.zarr", "radial": "radial.zarr"}
"""Surveys of other paths between the same networks."""
SMOOTH = 201
"""Points that a curve is drawn with, and its distances are taken at."""
MARGIN = 0.2
"""How far the plane's picture reaches beyond the curve, in shares of its extent."""
RADII = 1001
"""Points of the radial path that distances from it are taken at."""
IN_PLANE = ("curve_plane",)
"""Pictures of the plane that stand among those of the curve."""


def run_connect(
    config: ConnectConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    checkpoint_seconds: float = 10.0,
    pictures: bool = True,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train a curve, evaluate what lies along it and around it, draw the pictures, write the report.

    Args:
        config: everything that the result depends on.
        out: the run directory.
        resume: continue what is there; begin where nothing is.
        overwrite: replace a lossatlas run that is there.
        checkpoint_seconds: between checkpoints of the training; surveys are kept tile by tile.
        pictures: draw, and write the report.
        reporter: told how things stand.
        stop: asked after every step and tile; True writes a checkpoint and ends the job.

    Returns:
        The summary.

    Raises:
        BadInput: before anything is computed or written.
        CannotFinish: not finite, or a disk that refuses; the last checkpoint is whole.
        Interrupted: ``stop`` said so.
    """
    reporter = reporter if reporter is not None else Silent()
    start = Start(config, out, resume=resume, overwrite=overwrite)
    run, config = start.run, start.config
    if start.finished:
        reporter.say(f"{run.path} is finished")
        return run.read_json(SUMMARY)
    recipe = build_connect(config)
    plan = Plan.from_dict(start.stored("plan", {})) if start.continuing else config.plan
    engine = _engine(recipe, config, plan, recipe.buffers)
    surveyor = _engine(recipe, config, engine.plan, recipe.survey_buffers)
    fit = _fit(recipe, config, engine)
    start.put(
        recipe.train.device,
        recipe.fingerprints(),
        plan=engine.plan.to_dict(),
        normalisation=recipe.data.normalisation,
    )
    torch.set_num_threads(engine.plan.threads)
    reporter.say(f"engine: {engine.plan.pullback.strategy} to train, {engine.plan.evaluate.strategy} to survey")
    reporter.say(f"        {engine.plan.reason}")
    if recipe.no_radial:
        reporter.say(recipe.no_radial)

    descend(run, fit, "curve", checkpoint_seconds, reporter, stop)
    run.write_bytes(CHART, chart_bytes(recipe.curve))
    started = time.perf_counter()
    evaluation = _Evaluation(run, recipe, config, surveyor, reporter, stop)
    evaluation.paths()
    evaluation.plane()
    if config.ensembles:
        evaluation.ensembles()
    survey = evaluation.survey.open().load()
    seconds = time.perf_counter() - started
    summary = {
        **connect_summary(survey, evaluation.lengths),
        **evaluation.plane_numbers,
        **({"radial_undefined": recipe.no_radial} if recipe.no_radial else {}),
        "parameters": recipe.space.size,
        "steps": fit.steps,
        "seconds": fit.seconds,
        "seconds_per_step": fit.seconds / max(1, fit.steps),
        "survey_seconds": seconds,
        "held_bytes": fit.held_bytes,
        "peak_memory_bytes": peak_bytes(),
    }
    if pictures:
        _draw(run, recipe, config, survey, evaluation.plane_survey(), summary)
    start.finish(summary, {"fit": fit.seconds, "survey": seconds})
    evaluation.survey.close()
    return summary


def estimate_connect(config: ConnectConfig) -> Estimate:
    """A dry run: times a few steps and a few points; writes nothing.

    Raises:
        BadInput: what the run itself would refuse.
    """
    config = completed(config)
    recipe = build_connect(config)
    engine = _engine(recipe, config, config.plan, recipe.buffers)
    surveyor = _engine(recipe, config, engine.plan, recipe.survey_buffers)
    fit = _fit(recipe, config, engine)
    step_seconds = min(timed(fit.step) for _ in range(3))
    sample = min(config.grid, engine.plan.evaluate.points)
    controls = recipe.straight.controls()
    coefficients = recipe.straight.coefficients(torch.zeros(sample, 1).to(controls))
    first = next(iter(recipe.surveyed.values()))
    metrics = streaming_metrics(recipe.problem.loss, ["loss"])
    evaluated = timed(lambda: surveyor.evaluate(coefficients, controls, first, metrics, config.group))
    per_example = evaluated / sample / len(first)
    examples = sum(len(split) for split in recipe.surveyed.values())
    in_plane = config.plane**2 * sum(len(split) for split in recipe.in_plane.values())
    joint = 3 * config.ensembles * recipe.problem.loss.classifies
    paths = 2 + (recipe.radial is not None) + joint
    fitting = config.steps * step_seconds if config.steps is not None else (config.seconds or 0.0)
    return Estimate(
        work={
            "curve": f"{recipe.objective.largest_draw} points x {config.batch_size} examples a step",
            "paths": f"{paths} x {config.grid} points x {examples:,} examples",
            "plane": f"{config.plane**2:,} points x {in_plane // max(1, config.plane**2):,} examples",
        },
        seconds=fitting + (paths * config.grid * examples + in_plane) * per_example,
        peak_bytes=peak_bytes(),
        disk_bytes=4 * recipe.space.size * 4 * (config.bends + 2) + config.plane**2 * 40 + 6_000_000,
    )


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
        batch_size=config.batch_size or BATCH,
        group=config.group,
        points=max(recipe.objective.largest_draw, 16),
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
        batch_size=config.batch_size or BATCH,
        seed=config.seed,
        augment=recipe.augment,
    )


@dataclass
class _Evaluation:
    """What is looked at once the curve is there; every part is kept, and not done again when a run is resumed."""

    run: RunDirectory
    recipe: ConnectRecipe
    config: ConnectConfig
    engine: Engine
    reporter: Reporter
    stop: Callable[[], bool]

    def __post_init__(self) -> None:
        self.t = torch.linspace(0, 1, self.config.grid, dtype=torch.float64)
        self.lengths = {"length": length(self.recipe.curve), "straight_length": length(self.recipe.straight)}
        self.survey = self._store(SURVEY, self.recipe.curve)
        self.plane_numbers: dict[str, Any] = {}

    def paths(self) -> None:
        """The curve and the other paths at the same t, norms and distances."""
        self._fill(self.survey, self.recipe.curve, "survey")
        others: dict[str, CoefficientChart] = {"straight": self.recipe.straight}
        if self.recipe.radial is not None:
            others["radial"] = self.recipe.radial
        along = schema.Along
        for name, chart in others.items():
            store = self._store(OTHERS[name], chart)
            self._fill(store, chart, f"survey of the {name} path")
            found = store.open().load()
            store.close()
            for key, variable in found.data_vars.items():
                told = dict(variable.attrs)
                measured = {"split", "metric"} <= told.keys()
                if measured and key == schema.split_variable(told["split"], told["metric"]):  # and no standard error
                    place = along.of(name, told["split"], told["metric"])
                    named = f"{told['long_name']} on the {name} path"
                    self._put(place, variable.values, named, told["units"], variable.dims[1:])
        self._put(along.T, self.t, "t")
        self._put(along.LENGTH, lengths_until(self.recipe.curve, self.t), "length from t = 0")
        curve = _of(self.recipe.curve, self.t)
        norms = _distances(curve, (torch.zeros(1, len(curve[1])).to(curve[0]), curve[1]))
        self._put(along.NORM, norms, "norm of the weights")
        if self.recipe.radial is not None:
            nearest = _distances(curve, _of(self.recipe.radial, torch.linspace(0, 1, RADII, dtype=torch.float64)))
            self._put(along.RADIAL_DISTANCE, nearest, "distance from the radial path")
        place = schema.Corner.coordinate("t")
        if place not in self.survey:
            where = np.linspace(0, 1, len(self.recipe.names))
            told = {"long_name": "t", "names": list(self.recipe.names)}
            self.survey.put_beside(place, (schema.Corner.DIMENSION,), where, told)

    def plane(self) -> None:
        """The surface of the plane of the curve, with the curve on it."""
        if not self.config.plane:
            return
        smooth = torch.linspace(0, 1, SMOOTH, dtype=torch.float64)[:, None]
        try:
            chart, at, off, corners, beside = self._laid(smooth)
        except BadInput as error:
            self.reporter.say(f"no plane: {error}")
            return
        inside = torch.cat([at, corners])
        if isinstance(chart, Through):
            inside = chart.corner_coords().cpu()
        low, high = inside.min(dim=0).values, inside.max(dim=0).values
        reach = MARGIN * (high - low)
        grid = {
            axis: np.linspace(float(low[k] - reach[k]), float(high[k] + reach[k]), self.config.plane)
            for k, axis in enumerate(chart.axes)
        }
        labels = {"u": "distance along the straight line", "v": "distance across it"}
        if isinstance(chart, Slice):
            labels = {axis: f"principal direction {k + 1} of the curve" for k, axis in enumerate(chart.axes)}
        store = SurveyStore(self.run.path / PLANE, grid, {"chart": chart.fingerprint()}, labels)
        self._fill(store, chart, "survey of the plane", self.recipe.in_plane)
        if schema.Along.PLANE_DISTANCE not in store:
            names = {"names": list(self.recipe.names)}
            for k, axis in enumerate(chart.axes):
                place = schema.Corner.coordinate(axis)
                store.put_beside(place, (schema.Corner.DIMENSION,), corners[:, k].numpy(), {"long_name": axis, **names})
                own = schema.Along.coordinate(axis)
                store.put_beside(own, (schema.Along.DIMENSION,), at[:, k].numpy(), {"long_name": f"curve along {axis}"})
            told = {"long_name": "distance of the curve from the plane", "networks": beside.tolist()}
            store.put_beside(schema.Along.PLANE_DISTANCE, (schema.Along.DIMENSION,), off.numpy(), told)
        store.close()
        self.plane_numbers = {
            "curve_to_plane_max": float(off.max()),
            "curve_to_plane_rms": float(off.square().mean().sqrt()),
            "networks_to_plane_max": float(beside.max()),
        }

    def _laid(self, smooth: Tensor) -> tuple[CoefficientChart, Tensor, Tensor, Tensor, Tensor]:
        """The plane; the curve's coordinates (T, 2) and distances (T,) from it; those of the networks."""
        recipe = self.recipe
        if recipe.curve.degree == 2 and len(recipe.names) == 2:
            with torch.no_grad():
                first, bend, last = recipe.curve.controls()
            through = Through(torch.stack([first, last, bend]))
            ends = through.corner_coords()
            # Coefficients are affine, so coordinates are mixed as weights are.
            at = recipe.curve.coefficients(smooth) @ ends[[0, 2, 1]].cpu()
            none = torch.zeros(len(at), dtype=torch.float64)
            return through, at, none, ends[:2].cpu(), none[:2]
        nearest = best_plane(recipe.curve, smooth)
        return (nearest.chart, nearest.coords, nearest.distances, *nearest.over(recipe.networks))

    def plane_survey(self) -> xr.Dataset | None:
        """The surface of the plane, if there is one."""
        path = self.run.path / PLANE
        if not path.is_dir():
            return None
        found: xr.Dataset = xr.open_zarr(str(path), consolidated=False, chunks=None).load()
        return found

    def ensembles(self) -> None:
        """Two and three members against t: on the curve, on the straight line, a random step away."""
        along = schema.Along
        if not self.recipe.problem.loss.classifies:
            return
        recipe = self.recipe
        ends = _of(recipe.straight, torch.tensor([0.0, 1.0]))
        curve = _of(recipe.curve, self.t)
        first = recipe.networks[:1]
        aside = torch.randn(first.shape[1], generator=generator(self.config.seed, "random step")).to(first)
        steps = _distances(curve, (curve[0][:1], curve[1]))  # from phi(0), where the curve begins
        away = torch.stack([torch.ones_like(steps), steps], dim=1).to(first)
        random = (away, torch.cat([first, (aside / aside.norm())[None]]))
        paths = {"curve": curve, "straight": _of(recipe.straight, self.t), "random": random}
        for split, examples in recipe.surveyed.items():
            if all(self.survey.is_whole(along.ensemble(split, metric)) for metric in ("loss", "accuracy")):
                continue
            self.reporter.say(f"ensembles on the {split} examples")

            def on_share(share: float) -> None:
                self.reporter.progress("ensembles", share, {})
                if self.stop():
                    raise self._interrupted("ensembles")

            found = ensembles_along(self.engine, ends, paths, examples, self.config.group, on_share)
            for metric, units in (("loss", recipe.problem.loss.units), ("accuracy", "1")):
                told = {"long_name": f"{split} {metric} of averaged predictions", "units": units, "names": list(found)}
                values = np.stack([numbers[metric] for numbers in found.values()])
                self.survey.put_beside(along.ensemble(split, metric), (along.PAIR, along.DIMENSION), values, told)

    def _store(self, name: str, chart: CoefficientChart) -> SurveyStore:
        return SurveyStore(self.run.path / name, {"t": self.t.numpy()}, {"chart": chart.fingerprint()}, {"t": "t"})

    def _fill(
        self, store: SurveyStore, chart: CoefficientChart, phase: str, splits: dict[str, Split] | None = None
    ) -> None:
        recipe = self.recipe
        surveyor = Surveyor(self.engine, chart, splits or recipe.surveyed, recipe.metrics, self.config.group)
        total = int(np.prod(store.shape)) * surveyor.evaluations
        finished = 0

        def on_points(count: int) -> None:
            nonlocal finished
            finished += count
            self.reporter.progress(phase, min(finished / total, 1.0), {})
            if self.stop():
                raise self._interrupted(phase)

        surveyor.fill(store, on_points=on_points)

    def _interrupted(self, phase: str) -> Interrupted:
        return Interrupted(f"interrupted in the {phase}; continue with --out {self.run.path} --resume")

    def _put(self, name: str, values: Any, long_name: str, units: str = "1", further: Sequence[Hashable] = ()) -> None:
        if not self.survey.is_whole(name):
            array = np.asarray(values, dtype=np.float64)
            told = {"long_name": long_name, "units": units}
            self.survey.put_beside(name, (schema.Along.DIMENSION, *map(str, further)), array, told)


def _of(chart: CoefficientChart, t: Tensor) -> tuple[Tensor, Tensor]:
    """The points of a path at t (P,) as coefficients and controls."""
    with torch.no_grad():
        controls = chart.controls()
        return chart.coefficients(t[:, None].to(controls)), controls


def _distances(points: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor]) -> Tensor:
    """The distance (P,), float64, of each point from the nearest of some others, by scalar products of controls."""
    (one, mine), (other, theirs) = points, others
    wide = torch.cat([mine, theirs]).double()
    gram = (wide @ wide.T).cpu()
    left = torch.cat([one, one.new_zeros(len(one), len(theirs))], dim=1).double().cpu()
    right = torch.cat([other.new_zeros(len(other), len(mine)), other], dim=1).double().cpu()
    squares = [(((left - row) @ gram) * (left - row)).sum(dim=1) for row in right]
    return torch.stack(squares).min(dim=0).values.clamp(min=0).sqrt()


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
    write_report(run.path / "report.html", survey, title, summary, (run.path / "config.yaml").read_text(), images)
