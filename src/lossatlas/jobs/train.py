"""The job of ``lossatlas train``: a trained network and its trajectory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from lossatlas.errors import CannotFinish
from lossatlas.jobs.estimate import Estimate, measure_peak_bytes
from lossatlas.jobs.forecast import Forecast, Phase
from lossatlas.jobs.job import Handling, Job
from lossatlas.jobs.sampling import sample_steps
from lossatlas.jobs.starting import Start
from lossatlas.jobs.stepping import descend
from lossatlas.recipes import TrainConfig, complete
from lossatlas.recipes.base import require
from lossatlas.recipes.train import TrainRecipe, build_train
from lossatlas.rundir import MEMBERS, MODEL, SNAPSHOTS, RunDirectory
from lossatlas.surveying.standing import score_network
from lossatlas.training import Trajectory, record_start, record_step
from lossatlas.weights.files import collect_state, serialise_state

__all__ = ["run_train"]


def _carry_out(start: Start[TrainConfig], how: Handling) -> dict[str, Any]:
    """Train a network, record its trajectory, and evaluate the trained network."""
    run, config = start.run, start.config
    torch.set_num_threads(
        start.stored("threads", torch.get_num_threads())
    )  # another number of threads sums in another order
    recipe = build_train(config)
    start.put(
        recipe.training.device,
        recipe.fingerprints(),
        disk=recipe.disk,
        threads=torch.get_num_threads(),
        normalisation=recipe.data.normalisation,
    )
    how.introduce(recipe.problem, recipe.data, *recipe.notes)
    _train(run, recipe, config, how)
    run.write_bytes(MODEL, serialise_state(collect_state(recipe.problem.module)))
    summary = _summary(recipe, config)
    start.finish(summary, {"train": recipe.training.seconds})
    return summary


def _estimate(config: TrainConfig) -> Estimate:
    """Estimate the cost of a run by timing a few steps; writes nothing.

    Raises:
        BadInput: the run itself would be refused.
    """
    recipe = build_train(complete(config))
    training, module = recipe.training, recipe.problem.module
    steps, size = training.total_steps, min(require(config.batch_size), len(recipe.evaluated["train"]))
    model_bytes = sum(value.numel() * value.element_size() for value in collect_state(module).values())
    snapshots = recipe.thinning.count(steps, training.epochs) if recipe.thinning is not None else 0
    return Estimate(
        work={"train": f"{steps:,} steps x {size} examples, {recipe.space.size:,} parameters"},
        forecast=Forecast(list(_phases(recipe, config, steps))),
        peak_bytes=measure_peak_bytes(),
        disk_bytes=model_bytes * (4 + len(training.members) + snapshots) + 200 * steps,
    )


run_train = Job(TrainConfig, _carry_out, _estimate)
"""The job of ``lossatlas train``, which draws no pictures."""


def _phases(recipe: TrainRecipe, config: TrainConfig, steps: int) -> Iterator[Phase]:
    """Yield the phases of a training and its evaluation, measured on steps of a copy of the network."""
    try:
        rate = sample_steps(recipe.twin().step, steps)
    except CannotFinish:  # the training itself will report it
        return
    yield Phase("training", steps * rate.seconds, rate.factor)
    size = min(require(config.batch_size), len(recipe.evaluated["train"]))
    evaluated = sum(len(split) for split in recipe.evaluated.values())
    # A forward pass is about a third of a step.
    yield Phase("evaluation", evaluated / size * rate.seconds / 3, max(2.0, rate.factor))


def _train(run: RunDirectory, recipe: TrainRecipe, config: TrainConfig, how: Handling) -> None:
    """Make the steps, and record the snapshots and members."""
    training, module = recipe.training, recipe.problem.module
    trajectory = Trajectory(run.path / SNAPSHOTS, recipe.thinning) if recipe.thinning is not None else None
    members = training.members if training.members != [training.total_steps] else []

    def on_start() -> None:
        if not training.done:
            how.foretell(lambda: _phases(recipe, config, training.total_steps - training.steps))
        if trajectory is not None:
            trajectory.cut(training.steps)
        record_start(trajectory, training)

    def on_step(record: dict[str, float]) -> None:
        if training.steps in members:
            name = f"{MEMBERS}/{members.index(training.steps):03d}.safetensors"
            run.write_bytes(name, serialise_state(collect_state(module)))
        record_step(trajectory, training, record)

    descend(run, training, "train", how, on_start, on_step)


def _summary(recipe: TrainRecipe, config: TrainConfig) -> dict[str, Any]:
    """Compute loss and accuracy on every split, with the running statistics at the end of the training."""
    training, problem, space = recipe.training, recipe.problem, recipe.space
    return {
        **score_network(problem, space, recipe.evaluated, config.eval_batch_size),
        "parameters": space.size,
        "steps": training.steps,
        "epochs": config.epochs,
        "seconds": training.seconds,
        "seconds_per_step": training.seconds / max(1, training.steps),
        "peak_memory_bytes": measure_peak_bytes(),
    }
