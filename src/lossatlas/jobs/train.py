"""The job of ``lossatlas train``: a trained network and its trajectory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lossatlas.errors import CannotFinish
from lossatlas.jobs.estimate import Estimate, measure_peak_bytes
from lossatlas.jobs.forecast import Forecast, Phase
from lossatlas.jobs.job import Handling, Job
from lossatlas.jobs.sampling import sample_steps
from lossatlas.jobs.starting import Start
from lossatlas.jobs.stepping import Stepped, descend
from lossatlas.recipes import TrainConfig, complete
from lossatlas.recipes.base import require
from lossatlas.recipes.train import TrainRecipe, build_train
from lossatlas.rundir import MEMBERS, MODEL, SNAPSHOTS, RunDirectory
from lossatlas.surveying.standing import score_network
from lossatlas.training import AverageRecorder, Training, Trajectory, record_start, record_step
from lossatlas.weights.files import collect_state, serialise_state

__all__ = ["run_train"]

AVERAGED = "averages"
"""What the averages are called in a checkpoint."""


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
        disk_bytes=model_bytes * (4 + len(training.members) + snapshots) + 3 * recipe.averages_bytes + 200 * steps,
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


class _Averaged:
    """A training and the averages of its weights, whose states are one.

    Args:
        training: the training.
        averages: what is averaged of it.
    """

    def __init__(self, training: Training, averages: AverageRecorder) -> None:
        self._training = training
        self._averages = averages

    @property
    def steps(self) -> int:
        """Return the number of steps that were made."""
        return self._training.steps

    @property
    def progress(self) -> float:
        """Return the share of the steps that is done."""
        return self._training.progress

    @property
    def done(self) -> bool:
        """Return whether all steps are done."""
        return self._training.done

    @property
    def running(self) -> Mapping[str, float]:
        """Return the running means of the reported numbers."""
        return self._training.running

    def step(self) -> dict[str, float]:
        """Make one step and return its record."""
        return self._training.step()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the state of both as tensors and JSON values."""
        tensors, numbers = self._training.state()
        averaged, told = self._averages.state()
        tensors |= {f"{AVERAGED}.{name}": value for name, value in averaged.items()}
        return tensors, {**numbers, AVERAGED: told}

    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Continue from the state that :meth:`state` returned.

        Raises:
            ValueError: it is the state of something else.
        """
        self._training.restore(tensors, scalars)
        prefix = f"{AVERAGED}."
        averaged = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        self._averages.restore(self._training.module, averaged, scalars.get(AVERAGED) or {})


def _train(run: RunDirectory, recipe: TrainRecipe, config: TrainConfig, how: Handling) -> None:
    """Make the steps, and record the snapshots and members."""
    training, module = recipe.training, recipe.problem.module
    trajectory = Trajectory(run.path / SNAPSHOTS, recipe.thinning) if recipe.thinning is not None else None
    averages: AverageRecorder | None = None
    if recipe.averaging is not None:
        averages = recipe.averaging.make_recorder(run.path, recipe.space, training.total_steps, training.members)
    members = training.kept_members

    def on_start() -> None:
        if not training.done:
            how.foretell(lambda: _phases(recipe, config, training.total_steps - training.steps))
        if trajectory is not None:
            trajectory.cut(training.steps)
        record_start(trajectory, training, averages)

    def on_step(record: dict[str, float]) -> None:
        if training.steps in members:
            name = f"{MEMBERS}/{members.index(training.steps):03d}.safetensors"
            run.write_bytes(name, serialise_state(collect_state(module)))
        record_step(trajectory, training, record, averages)

    work: Stepped = training if averages is None else _Averaged(training, averages)
    descend(run, work, "train", how, on_start, on_step)
    if averages is not None:
        averages.write()


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
