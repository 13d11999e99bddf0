"""Settings that the studies share."""

from __future__ import annotations

from typing import Any

from lossatlas.recipes import PRESETS, FitConfig, ProblemConfig

__all__ = ["PAPER_TRAINING", "configure_paper_fit", "configure_small_fit", "copy_problem"]

SMALL: dict[str, Any] = {
    "model": "conv", "optimizer": "adam", "clip": "example", "boundary_only": False, "cells": 16, "batch_size": 16,
    "lr": 2e-3, "scale_lr": 8e-3, "coarse": (0.3, 0.6), "examples": "1000", "padding": 2,
}  # fmt: skip
"""What works for the paper's networks in minutes on two cores; measured in docs/reports/results.md."""


PAPER_TRAINING: dict[str, Any] = {
    "data": "cifar10", "augment": ("crop", "flip"), "optimizer": "nesterov", "lr": 0.1, "weight_decay": 5e-4,
    "schedule": "steps", "epochs": 300, "batch_size": 128,
}  # fmt: skip
"""How Li et al. 2018 (arXiv 1712.09913) train: SGD with Nesterov momentum, divided by 10 at 150, 225 and 275 epochs."""


def copy_problem(config: ProblemConfig) -> dict[str, Any]:
    """Return the settings that give another run the same problem."""
    names = (
        "data",
        "data_options",
        "holdout",
        "model",
        "model_options",
        "loss",
        "loss_options",
        "output",
        "parameters",
    )
    return {name: getattr(config, name) for name in names}


def configure_paper_fit(**settings: Any) -> FitConfig:
    """Make a fit with the paper's settings, some of them replaced."""
    return FitConfig(**PRESETS["paper"] | settings)


def configure_small_fit(**settings: Any) -> FitConfig:
    """Make a fit for two cores, with some settings replaced."""
    return FitConfig(**SMALL | settings)
