"""The part of a survey that evaluates a trajectory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from lossatlas import schema
from lossatlas.engine import Engine
from lossatlas.jobs.job import Handling
from lossatlas.metrics import choose_streaming_metrics
from lossatlas.recipes.site import SurveyedTrajectory
from lossatlas.recipes.survey import SurveyRecipe
from lossatlas.rundir import RunDirectory
from lossatlas.surveying import SurveyStore
from lossatlas.surveying.standing import Standing
from lossatlas.weights.files import load_state

__all__ = ["follow_trajectory", "is_followed", "summarise_trajectory"]


def is_followed(store: SurveyStore, recipe: SurveyRecipe) -> bool:
    """Return whether a store has all quantities of the trajectory."""
    names = schema.OnTrajectory
    own = (names.STEP, names.EPOCH, names.RATE, names.PHASE, names.DISTANCE, names.ANGLE, names.EXPLAINED)
    places = map(names.coordinate, recipe.chart.axes)
    losses = (of(name) for name in recipe.surveyed for of in (names.loss, names.loss_under))
    return not store.lacks(*own, names.ELSEWHERE, *places, *losses)


def follow_trajectory(
    run: RunDirectory,
    store: SurveyStore,
    recipe: SurveyRecipe,
    followed: SurveyedTrajectory,
    engine: Engine,
    how: Handling,
) -> None:
    """Store the trajectory in the plane and in others, its losses and those of its projection, and its angles."""
    if is_followed(store, recipe):
        return
    trajectory, here = followed.trajectory, followed.here
    (block,) = recipe.chart.blocks(here.coords, len(here.coords))
    metrics = choose_streaming_metrics(recipe.problem.loss, ["loss"])
    under = {
        name: engine.evaluate(block.coefficients, block.controls, split, metrics, recipe.config.eval_batch_size)[
            "loss"
        ].numpy()
        for name, split in recipe.surveyed.items()
    }
    losses: dict[str, list[float]] = {name: [] for name in recipe.surveyed}
    angles = []
    descended, examples = next(iter(recipe.surveyed.items()))
    for index, snapshot in enumerate(trajectory.snapshots):
        load_state(recipe.problem.module, snapshot.state(), f"snapshot {snapshot.path}")
        # Snapshots are evaluated with their own running statistics, whatever the buffers policy of the plane.
        there = Standing(recipe.problem, recipe.space, examples, engine.plan, recipe.config.eval_batch_size)
        for name, split in recipe.surveyed.items():
            losses[name].append(there.evaluate(split, metrics)["loss"])
        angles.append(math.nan)
        if index + 1 < len(trajectory):
            angles[-1] = _degrees(
                trajectory.vector(index + 1) - trajectory.vector(index), -there.gradient(examples).cpu()
            )
        how.tell("trajectory", (index + 1) / len(trajectory))

    def put(name: str, values: Any, long_name: str, units: str = "1", **attributes: Any) -> None:
        array = np.asarray(values, dtype=np.float64)
        dimensions = ("plane", schema.SNAPSHOT, "axis") if array.ndim == 3 else (schema.SNAPSHOT,)
        store.put_beside(name, dimensions, array, {"long_name": long_name, "units": units, **attributes})

    names = schema.OnTrajectory
    put(names.STEP, [snapshot.step for snapshot in trajectory.snapshots], "step")
    for name, key in ((names.EPOCH, "epoch"), (names.RATE, "lr"), (names.PHASE, "phase")):
        told = [snapshot.scalars.get(key) for snapshot in trajectory.snapshots]
        put(name, [math.nan if value is None else value for value in told], key)
    for k, axis in enumerate(recipe.chart.axes):
        put(names.coordinate(axis), here.coords[:, k], axis, captured=float(here.shares[k]))
    put(names.DISTANCE, here.distances, "distance from the plane", captured=here.captured)
    put(names.ANGLE, angles, "angle between step and negative gradient", "degree", split=descended)
    put(names.EXPLAINED, followed.explained, "share of the variance along each principal component")
    for name in recipe.surveyed:
        put(names.loss(name), losses[name], f"{name} loss on the trajectory", recipe.problem.loss.units)
        put(names.loss_under(name), under[name], f"{name} loss in the plane under it", recipe.problem.loss.units)
    others = list(followed.elsewhere.values())
    put(
        names.ELSEWHERE,
        torch.stack([other.coords for other in others]),
        "trajectory in other planes",
        planes=list(followed.elsewhere),
        captured=[other.captured for other in others],
    )


def _degrees(one: Tensor, other: Tensor) -> float:
    """Return the angle between two vectors (n,) in degrees; NaN if one of them is zero."""
    lengths = float(one.double().norm() * other.double().norm())
    if not lengths > 0:
        return math.nan
    return math.degrees(math.acos(max(-1.0, min(1.0, float(one.double() @ other.double()) / lengths))))


def summarise_trajectory(followed: SurveyedTrajectory, recipe: SurveyRecipe, survey: xr.Dataset) -> dict[str, Any]:
    """Summarise a trajectory, as JSON values."""
    numbers = {
        "captured_variance": followed.here.captured,
        "explained_by_components": followed.explained[:10].tolist(),
        **{
            f"captured_by_{axis}": float(share)
            for axis, share in zip(recipe.chart.axes, followed.here.shares, strict=True)
        },
        "captured_elsewhere": {name: other.captured for name, other in followed.elsewhere.items()},
        "snapshots": len(followed.trajectory),
        "largest_distance_from_plane": float(survey[schema.OnTrajectory.DISTANCE].values.max()),
        "median_angle_to_gradient": _median(survey[schema.OnTrajectory.ANGLE].values),
    }
    for name in recipe.surveyed:
        true, under = (survey[of(name)].values for of in (schema.OnTrajectory.loss, schema.OnTrajectory.loss_under))
        numbers |= {f"{name}_loss_start": float(true[0]), f"{name}_loss_end": float(true[-1])}
        numbers |= {f"{name}_largest_loss_difference": float(np.abs(true - under).max())}
    return numbers


def _median(values: npt.NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None
