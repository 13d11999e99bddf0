"""Trainings, curves and tables that the studies of curves between networks share."""

from __future__ import annotations

from typing import Any

from lossatlas.recipes import ConnectConfig, TrainConfig
from lossatlas.reproduce.settings import copy_problem
from lossatlas.reproduce.study import Run

__all__ = ["PRERESNET", "SCHEDULE", "SMALL_NETWORK", "VGG16", "configure_curve", "list_loss_and_error"]

SCHEDULE: dict[str, Any] = {"schedule": "linear", "schedule_options": {"begin": 0.5, "end": 0.9, "low": 0.01}}
"""The learning rate of Garipov et al. 2018 (arXiv 1802.10026): constant, then linear to 1 % at 90 %, then constant."""

SMALL_NETWORK: dict[str, Any] = {
    "data": "fashion_mnist", "model": "conv", "optimizer": "momentum,lr=0.05", "weight_decay": 5e-4,
    "schedule": "linear", "epochs": 10, "batch_size": 128, "snapshots": "none",
}  # fmt: skip
"""A network of 153,402 parameters, in three minutes on a core."""

VGG16: dict[str, Any] = {
    "data": "cifar10", "model": "vgg", "model_options": {"depth": 16}, "augment": ("crop", "flip"),
    "optimizer": "momentum,lr=0.05", "weight_decay": 5e-4, "epochs": 200, "batch_size": 128, "snapshots": "none",
    **SCHEDULE,
}  # fmt: skip
"""As published."""


PRERESNET: dict[str, Any] = {
    "data": "cifar10", "model": "preresnet", "model_options": {"depth": 164, "bottleneck": True},
    "augment": ("crop", "flip"), "optimizer": "momentum,lr=0.1", "weight_decay": 3e-4, "epochs": 150,
    "batch_size": 128, "snapshots": "none", **SCHEDULE,
}  # fmt: skip
"""As published."""


def configure_curve(training: TrainConfig, *ends: str, epochs: float | None = None, **options: Any) -> ConnectConfig:
    """Make the configuration of a curve between runs of a training.

    Args:
        training: the training of the ends.
        ends: the names of the ends.
        epochs: the published number of epochs, on 50,000 examples; None if ``steps`` are given.
        options: further options of the configuration.
    """
    if epochs is not None:
        options["steps"] = round(epochs * 50_000 / 128)
    return ConnectConfig(**{**copy_problem(training), "between": ends, **SCHEDULE, **options})


def list_loss_and_error(run: Run, path: str = "curve") -> list[object]:
    """Return cells of a table: the range of training loss, and of test error in per cent, on a path of a run."""
    train, test = run.summary["train_scores"], run.summary["test_scores"]
    losses = f"{train[f'{path}_min']:.3f} to {train[f'{path}_max']:.3f}"
    errors = f"{100 * test[f'{path}_error_min']:.2f} to {100 * test[f'{path}_error_max']:.2f}"
    return [losses, errors]
