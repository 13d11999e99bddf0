"""The configuration of a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from lossatlas.bounds import Count, NotNegative, Positive
from lossatlas.recipes.base import Options, ProblemConfig

__all__ = ["TrainConfig"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(ProblemConfig):
    """Everything that a training depends on."""

    verb: ClassVar[str] = "train"

    optimizer: str = "adam"
    """Optimiser (see `lossatlas info`) with options as in momentum,lr=0.05, or a class as torch.optim.NAdam."""
    lr: Positive | None = None
    """Its learning rate; default its own."""
    weight_decay: NotNegative | None = None
    """Weight decay of all optimisers that state none of their own."""
    switch: tuple[str, ...] = ()
    """Changes during the training, each with a fresh state: EPOCH:OPTIMIZER, as in 100:sgd,lr=0.01."""
    schedule: str = "constant"
    """Learning-rate schedule (see `lossatlas info`)."""
    schedule_options: Options = field(default_factory=dict)
    """Options of a schedule; on the command line --schedule.OPTION."""
    epochs: Positive = 10.0
    """How often all training examples are seen."""
    batch_size: Count = 128
    """Examples per step."""
    augment: tuple[str, ...] = ()
    """Augmentations of a step's images (see `lossatlas info`)."""

    init_from: str | None = None
    """Weights to start from: a file, one of several networks in it as FILE#KEY, a run, or a run's snapshot as RUN@STEP;
    default the model's own initialisation."""
    init_gain: Positive = 1.0
    """Factor of the weights at the start (of matrices and kernels; vectors such as biases stay)."""

    snapshots: str = "epoch"
    """Which steps the trajectory keeps beside first and last: epoch, epoch:N, step:N, distance:D; or none."""
    eval_batch_size: Count = 500
    """Examples that the finished network is evaluated on together."""
