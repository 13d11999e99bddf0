"""The configuration of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lossatlas.bounds import Positive
from lossatlas.recipes.base import ProblemConfig
from lossatlas.recipes.shared_config import EvalBatchConfig, OptimizerConfig

__all__ = ["TrainConfig"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(EvalBatchConfig, OptimizerConfig, ProblemConfig):
    """Everything that a training depends on."""

    verb: ClassVar[str] = "train"
    usual: ClassVar[Mapping[str, Any]] = {"optimizer": "adam", "schedule": "constant", "batch_size": 128}

    switch: tuple[str, ...] = ()
    """Changes during the training, each with a fresh state: EPOCH:OPTIMIZER, as in 100:sgd,lr=0.01. An optimiser here
    and in --optimizer may have options so, and may be a class as torch.optim.NAdam."""
    epochs: Positive = 10.0
    """How often all training examples are seen."""

    init_from: str | None = None
    """Weights to start from: a file, one of several networks in it as FILE#KEY, a run, or a run's snapshot as RUN@STEP;
    default the model's own initialisation."""
    init_gain: Positive = 1.0
    """Factor of the weights at the start (of matrices and kernels; vectors such as biases stay)."""

    snapshots: str = "epoch"
    """Which steps the trajectory keeps beside first and last: epoch, epoch:N, step:N, distance:D; or none."""
