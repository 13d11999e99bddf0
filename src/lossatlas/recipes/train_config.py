"""The configuration of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from lossatlas.errors import BadInput
from lossatlas.recipes.base import Options, ProblemConfig

__all__ = ["TrainConfig"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(ProblemConfig):
    """Everything that a training depends on."""

    optimizer: str = "adam"
    """Optimiser (see `lossatlas info`) with options as in momentum,lr=0.05, or a class as torch.optim.NAdam."""
    lr: float | None = None
    """Its learning rate; default its own."""
    weight_decay: float | None = None
    """Weight decay of all optimisers that state none of their own."""
    switch: tuple[str, ...] = ()
    """Changes on the way, each with a fresh state: EPOCH:OPTIMIZER, as in 100:sgd,lr=0.01."""
    schedule: str = "constant"
    """Learning-rate schedule (see `lossatlas info`)."""
    schedule_options: Options = field(default_factory=dict)
    """Options of a schedule; on the command line --schedule.OPTION."""
    epochs: float = 10.0
    """How often all training examples are seen."""
    batch_size: int = 128
    """Examples per step."""
    augment: tuple[str, ...] = ()
    """Augmentations of a step's images (see `lossatlas info`)."""

    init_from: str | None = None
    """Weights to start from: a file, one of several networks in it as FILE#KEY, a run, or a run's snapshot as RUN@STEP;
    default the model's own initialisation."""
    init_gain: float = 1.0
    """Factor of the weights at the start (of matrices and kernels; vectors such as biases stay)."""

    snapshots: str = "epoch"
    """Which steps the trajectory keeps beside first and last: epoch, epoch:N, step:N, distance:D; or none."""
    group: int = 500
    """Examples that the finished network is evaluated on together."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "init_gain", "group"):
            if not 0 < getattr(self, name) < math.inf:
                raise BadInput(f"{name} is {getattr(self, name)}; expected a positive number")
        if self.lr is not None and not self.lr > 0:
            raise BadInput(f"lr is {self.lr}; expected a positive number")
        if self.weight_decay is not None and not self.weight_decay >= 0:
            raise BadInput(f"weight_decay is {self.weight_decay}; expected 0 or more")
