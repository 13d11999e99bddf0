"""The configuration of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lossatlas.bounds import OpenShare, Positive
from lossatlas.errors import BadInput
from lossatlas.recipes.base import ProblemConfig
from lossatlas.recipes.shared_config import AveragesConfig, DecayConfig, EvalBatchConfig

__all__ = ["TrainConfig"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(AveragesConfig, DecayConfig, EvalBatchConfig, ProblemConfig):
    """Everything that a training depends on."""

    verb: ClassVar[str] = "train"
    usual: ClassVar[Mapping[str, Any]] = {
        "optimizer": "adam",
        "augment": (),
        "schedule": "constant",
        "batch_size": 128,
    }

    switch: tuple[str, ...] = ()
    """Changes of the optimiser during the training, each with a fresh state, as EPOCH:OPTIMIZER such as
    100:sgd,lr=0.01. An optimiser can have options in this form in --optimizer, too, and be a class such as
    torch.optim.NAdam."""
    epochs: Positive = 10.0
    """Number of epochs, which may be fractional."""

    init_from: str | None = None
    """Weights to start from: a file, FILE#KEY for one of several networks in a file, a run, RUN@STEP for a snapshot of
    one, or RUN@swa, RUN@ema for averages of its weights; by default the initialisation of the model."""
    init_gain: Positive = 1.0
    """Factor of the initial weights (of matrices and kernels; vectors such as biases stay as they are)."""

    average: str = "none"
    """Steps whose weights are averaged (their mean, variance and last deviations) into averages.safetensors: epoch,
    epoch:N, step:N, members (where the learning rate is lowest), or none."""
    average_decay: OpenShare | None = None
    """Decay per step of an exponential average that is kept beside the others, such as 0.999; by default there is
    none."""

    snapshots: str = "epoch"
    """Steps that the trajectory keeps besides the first and the last: epoch, epoch:N, step:N, distance:D, members
    (where the learning rate of a cyclic schedule is lowest), or none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.average == "members" and self.average_from == TrainConfig.average_from:
            self._settle(average_from=0.0)  # the schedule chooses the first of them
        for name in ("average_from", "average_rank", "average_decay"):
            if self.average == "none" and getattr(self, name) != getattr(TrainConfig, name):
                raise BadInput(
                    f"{name} means nothing without averages; leave it out, or choose them, as in average epoch"
                )
