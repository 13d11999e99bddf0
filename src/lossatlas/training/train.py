"""Training a network in one call, and how its trajectory is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lossatlas.cards import choose_numbers, draw_history, write_card
from lossatlas.data import Augmentation, Split
from lossatlas.describing import count_things, write_repr
from lossatlas.errors import BadInput
from lossatlas.problem import Problem
from lossatlas.progress import show_progress
from lossatlas.schedules import Schedule
from lossatlas.schedules.kinds.constant import Constant
from lossatlas.training.optimizers import OptimizerChoice, parse_optimizer
from lossatlas.training.thinning import Thinning, parse_thinning
from lossatlas.training.training import Switch, Training, parse_switch
from lossatlas.training.trajectory import HeldTrajectory, Recording, Trajectory
from lossatlas.types import Source
from lossatlas.weights import WeightSpace

__all__ = ["TrainResult", "record_start", "record_step", "train"]

TOLD = ("epoch", "loss", "accuracy", "lr", "phase")
"""Of what a step came to, what is kept with a snapshot."""
SHOWN = ("epoch", "loss", "accuracy")
"""And what a notebook shows of the last one."""


@dataclass(frozen=True)
class TrainResult:
    """A finished training."""

    module: nn.Module
    """The problem's module, trained."""
    history: list[dict[str, float]]
    """What each step came to."""
    trajectory: Trajectory | HeldTrajectory | None
    """The snapshots, in files where a path was given; None where none were asked for."""
    steps: int
    seconds: float

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"{self._describe()}, {self.trajectory!r}")

    def _repr_html_(self) -> str:
        numbers = choose_numbers(self.history[-1] if self.history else {}, SHOWN)
        return write_card(f"Training of {self._describe()}", numbers, draw_history(self.history))

    def _describe(self) -> str:
        return f"{type(self.module).__name__} in {count_things(self.steps, 'step')} and {self.seconds:.3g} s"


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
    path: Path | str | None = None,
    on_step: Callable[[dict[str, float]], None] | None = None,
    progress: bool | None = None,
) -> TrainResult:
    """Train a problem's module in place, and keep snapshots of it.

    Args:
        problem: module, loss and feed.
        split: training examples, or what :meth:`Split.of` makes a split of.
        epochs: how often all examples are seen, in parts, too.
        optimizer: a choice or its text, such as ``momentum,lr=0.05`` or ``torch.optim.NAdam``.
        schedule: factor of the learning rate by progress; default constant.
        switches: changes of the optimiser, such as ``100:sgd,lr=0.01``.
        batch_size: examples per step; default the split's own, where it was made of a loader, else 128.
        space: which parameters are trained; default all.
        seed: of batches, augmentation and what the module draws.
        augment: applied to the images of each step's batch.
        snapshots: which steps are kept beside the first and the last: a thinning or its text (``epoch``, ``epoch:N``,
            ``step:N``, ``distance:D``), or ``none``.
        path: a folder for the snapshots, which has none yet; None keeps them in memory.
        on_step: called with what each step came to.
        progress: whether to show how far it is; None shows it after two seconds, in a notebook or on a terminal.

    Raises:
        BadInput: arguments that do not fit together.
        CannotFinish: loss or weights are not finite any more; the snapshots so far are kept.
    """
    thinning = parse_thinning(snapshots) if isinstance(snapshots, str) else snapshots
    trajectory: Trajectory | HeldTrajectory | None = None
    if thinning is not None:
        trajectory = Trajectory(path, thinning) if path is not None else HeldTrajectory(thinning)
        if trajectory.snapshots:
            raise BadInput(f"{path} holds snapshots of a training; give each training a folder of its own")
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
    record_start(trajectory, training)
    history = []
    with show_progress(progress) as reporter:
        while not training.done:
            history.append(training.step())
            record_step(trajectory, training, history[-1])
            reporter.progress("train", min(training.progress, 1.0), training.running)
            if on_step is not None:
                on_step(history[-1])
    return TrainResult(training.module, history, trajectory, training.steps, training.seconds)


def record_start(trajectory: Recording[Any] | None, training: Training) -> None:
    """Keep a network before its first step, if there is where to."""
    if trajectory is not None and not trajectory.snapshots:
        trajectory.record(training.module, training.steps, epoch=0.0, phase=0)


def record_step(trajectory: Recording[Any] | None, training: Training, record: Mapping[str, float]) -> None:
    """Keep a network after a step if a snapshot is due, and after the last one in any case.

    Args:
        trajectory: where to; None: nowhere.
        training: that has made the step.
        record: what the step came to.
    """
    if trajectory is not None:
        told = {name: record[name] for name in TOLD if name in record}
        (trajectory.keep if training.done else trajectory.record)(training.module, training.steps, **told)
