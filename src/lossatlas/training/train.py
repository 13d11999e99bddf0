"""Training of a network in one call, with its trajectory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lossatlas.averages import Averages
from lossatlas.bounds import check_arguments
from lossatlas.cards import choose_numbers, draw_history, write_card
from lossatlas.data import Augmentation, Split
from lossatlas.describing import count_things, write_repr
from lossatlas.errors import BadInput
from lossatlas.problem import Problem
from lossatlas.progress import show_progress
from lossatlas.schedules import Schedule
from lossatlas.schedules.kinds.constant import Constant
from lossatlas.training.average_recorder import AverageRecorder
from lossatlas.training.averaging import Averaging, parse_averaging
from lossatlas.training.optimizers import OptimizerChoice, parse_optimizer
from lossatlas.training.thinning import Thinning, parse_thinning
from lossatlas.training.training import Switch, Training, parse_switch
from lossatlas.training.trajectory import HeldTrajectory, Recording, Trajectory
from lossatlas.types import Source
from lossatlas.weights import WeightSpace

__all__ = ["TrainResult", "check_averaging", "record_start", "record_step", "train"]

TOLD = ("epoch", "loss", "accuracy", "lr", "phase")
"""The entries of a step's record that are kept with a snapshot."""
SHOWN = ("epoch", "loss", "accuracy")
"""The entries of the last step's record that a notebook shows."""


@dataclass(frozen=True)
class TrainResult:
    """A finished training."""

    module: nn.Module
    """The trained module, which is the problem's."""
    history: list[dict[str, float]]
    """The record of each step, as :meth:`Training.step` returns it."""
    trajectory: Trajectory | HeldTrajectory | None
    """The snapshots, in files if a path was given; None if ``snapshots`` was ``none``."""
    steps: int
    """The number of optimiser steps."""
    seconds: float
    """The seconds that the steps took."""
    averages: Averages | None = None
    """The moments and the exponential average of the weights; None if none were asked for."""

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"{self._describe()}, {self.trajectory!r}")

    def _repr_html_(self) -> str:
        numbers = choose_numbers(self.history[-1] if self.history else {}, SHOWN)
        return write_card(f"Training of {self._describe()}", numbers, draw_history(self.history))

    def _describe(self) -> str:
        return f"{type(self.module).__name__} in {count_things(self.steps, 'step')} and {self.seconds:.3g} s"


@check_arguments
def train(
    problem: Problem,
    split: Split | Source,
    *,
    epochs: float = 10.0,
    optimizer: OptimizerChoice | str = "adam",
    schedule: Schedule | None = None,
    switches: Sequence[Switch | str] = (),
    batch_size: int | None = None,
    space: WeightSpace | None = None,
    seed: int = 0,
    augment: Sequence[Augmentation] = (),
    snapshots: Thinning | str = "epoch",
    averages: Averaging | str = "none",
    path: Path | str | None = None,
    on_step: Callable[[dict[str, float]], None] | None = None,
    progress: bool | None = None,
) -> TrainResult:
    """Train a problem's module in place, and record its trajectory.

    Args:
        problem: module, loss and feed.
        split: the training examples, such as tensors ``(inputs (N, ...), targets (N, ...))``, a data set or a loader:
            see :meth:`Split.of`.
        epochs: number of passes over the examples; may be a fraction.
        optimizer: the optimiser, by name with options, such as ``momentum,lr=0.05`` or ``torch.optim.NAdam``.
        schedule: the factor of the learning rate as a function of progress; default constant.
        switches: changes of the optimiser during the training, such as ``100:sgd,lr=0.01`` from epoch 100 on.
        batch_size: number of examples per step; by default that of the loader that the split was made from, else 128.
        space: the parameters that are trained; default all.
        seed: the seed of batches, augmentation and the module's own randomness, such as dropout.
        augment: augmentations of the images of each step's batch, applied in order.
        snapshots: the steps that are kept beside the first and the last: ``epoch``, ``epoch:N``, ``step:N``,
            ``distance:D``, ``members`` (of a cyclic schedule, where the learning rate is lowest) or a
            :class:`~lossatlas.Thinning`; or ``none``.
        averages: the steps whose weights are averaged: ``epoch``, ``epoch:N``, ``step:N`` (in the last quarter),
            ``members`` (all steps where the learning rate is lowest), or an :class:`~lossatlas.Averaging`; or ``none``.
        path: a folder without snapshots, in which they and the averages are kept; None keeps them in memory.
        on_step: a function that is called with the record of each step.
        progress: whether to show the progress; None shows it after two seconds, in a notebook or on a terminal.

    Returns:
        The trained module, the record of each step, the trajectory, and the averages.

    Raises:
        BadInput: arguments do not fit together.
        CannotFinish: the loss or the weights are not finite; the snapshots so far are kept.

    >>> import torch, lossatlas as la
    >>> problem = la.Problem(torch.nn.Linear(4, 2), la.CrossEntropy())
    >>> examples = torch.randn(64, 4), torch.randint(2, (64,))
    >>> result = la.train(problem, examples, epochs=2, optimizer="sgd,lr=0.1", batch_size=32)
    >>> result.steps, [snapshot.step for snapshot in result.trajectory.snapshots]
    (4, [0, 2, 4])
    """
    training = Training(
        problem,
        space if space is not None else WeightSpace(problem.module),
        split,
        epochs=epochs,
        optimizer=parse_optimizer(optimizer) if isinstance(optimizer, str) else optimizer,
        schedule=schedule if schedule is not None else Constant(),
        switches=[parse_switch(each) if isinstance(each, str) else each for each in switches],
        batch_size=batch_size,
        seed=seed,
        augment=augment,
    )
    thinning = parse_thinning(snapshots, training.kept_members) if isinstance(snapshots, str) else snapshots
    trajectory: Trajectory | HeldTrajectory | None = None
    if thinning is not None:
        trajectory = Trajectory(path, thinning) if path is not None else HeldTrajectory(thinning)
        if trajectory.snapshots:
            raise BadInput(f"{path} holds the snapshots of another training; give each training a folder of its own")
    averaging = parse_averaging(averages) if isinstance(averages, str) else averages
    recorder: AverageRecorder | None = None
    if averaging is not None:
        check_averaging(averaging, training)
        recorder = averaging.make_recorder(path, training.space, training.total_steps, training.members)
    record_start(trajectory, training, recorder)
    history = []
    with show_progress(progress) as reporter:
        while not training.done:
            history.append(training.step())
            record_step(trajectory, training, history[-1], recorder)
            reporter.progress("train", min(training.progress, 1.0), training.running)
            if on_step is not None:
                on_step(history[-1])
    if recorder is not None and path is not None:
        recorder.write()
    found = recorder.result() if recorder is not None else None
    return TrainResult(training.module, history, trajectory, training.steps, training.seconds, found)


def check_averaging(averaging: Averaging, training: Training) -> None:
    """Refuse averages of fewer than two vectors, before the training.

    Raises:
        BadInput: so few would be taken.
    """
    count = averaging.count(training.total_steps, training.epochs, training.members)
    if count < 2:
        raise BadInput(
            f"an average needs the weights of two steps or more, and of {training.total_steps:,} steps "
            f"{count or 'none'} would be taken; begin earlier, average more often, or train longer"
        )


def record_start(
    trajectory: Recording[Any] | None, training: Training, averages: AverageRecorder | None = None
) -> None:
    """Record a network before its first step, unless its trajectory and its averages have begun."""
    if trajectory is not None and not trajectory.snapshots:
        trajectory.record(training.module, training.steps, epoch=0.0, phase=0)
    if averages is not None and averages.step < 0:
        averages.record(training.module, training.steps, epoch=0.0)


def record_step(
    trajectory: Recording[Any] | None,
    training: Training,
    record: Mapping[str, float],
    averages: AverageRecorder | None = None,
) -> None:
    """Record a network after a step if a snapshot is due, and always after the last one; average its weights.

    Args:
        trajectory: the trajectory; None records nothing.
        training: the training that has made the step.
        record: the record of the step.
        averages: of its weights; None averages nothing.
    """
    if averages is not None:
        averages.record(training.module, training.steps, epoch=record["epoch"])
    if trajectory is not None:
        told = {name: record[name] for name in TOLD if name in record}
        (trajectory.keep if training.done else trajectory.record)(training.module, training.steps, **told)
