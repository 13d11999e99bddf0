"""What a run would cost: a dry run."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from lossatlas.jobs.fit import make_engine, make_fit, make_surveyor
from lossatlas.metrics import streaming_metrics
from lossatlas.recipes import FitConfig
from lossatlas.recipes.fit import build_fit

__all__ = ["Estimate", "estimate_fit", "peak_bytes", "timed"]


@dataclass(frozen=True)
class Estimate:
    """What a run would cost."""

    work: Mapping[str, str]
    """Per phase how much there is to compute."""
    seconds: float
    peak_bytes: int
    disk_bytes: int


def estimate_fit(config: FitConfig) -> Estimate:
    """A dry run: times a few steps and a few surveyed points; writes nothing.

    Raises:
        BadInput: what the run itself would refuse.
    """
    recipe = build_fit(config)
    engine = make_engine(recipe, config, config.plan)
    surveyor = make_surveyor(recipe, config, engine)
    fit = make_fit(recipe, config, engine)
    step_seconds = min(timed(fit.step) for _ in range(3))
    points = int(np.prod([len(coords) for coords in recipe.picture.grid(config.padding).values()]))
    examples = sum(len(split) for split in recipe.surveyed.values())
    sample = min(points, engine.plan.evaluate.points)
    with torch.no_grad():
        controls = recipe.chart.controls()
        coefficients = recipe.chart.coefficients(torch.zeros(sample, len(recipe.chart.axes)).to(controls))
    metrics = streaming_metrics(recipe.problem.loss, recipe.metrics)
    first = next(iter(recipe.surveyed.values()))
    point_seconds = timed(lambda: surveyor.evaluate(coefficients, controls, first, metrics, config.group)) / sample
    fitting = config.steps * step_seconds if config.steps is not None else (config.seconds or 0.0)
    variables = len(metrics) * 4 + 1
    return Estimate(
        work={
            "fit": f"{recipe.objective.largest_draw} points x {config.batch_size} examples a step",
            "survey": f"{points:,} points x {examples:,} examples",
        },
        seconds=fitting + points * point_seconds * examples / len(first),
        peak_bytes=peak_bytes(),
        disk_bytes=4 * sum(p.numel() for p in recipe.chart.parameters()) * 4
        + points * variables * len(recipe.surveyed)
        + 6_000_000,
    )


def peak_bytes() -> int:
    """The most memory that the process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def timed(run: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
