"""Settings that the studies share."""

from __future__ import annotations

from typing import Any

from lossatlas.recipes import PRESETS, FitConfig

__all__ = ["paper_fit", "small_fit"]

SMALL: dict[str, Any] = {
    "model": "conv", "cells": 16, "batch_size": 16, "lr": 2e-3, "scale_lr": 8e-3, "examples": "1000", "padding": 2,
}  # fmt: skip
"""What works for the paper's networks in minutes on two cores; measured in docs/results.md."""


def paper_fit(**settings: Any) -> FitConfig:
    """A fit with the paper's settings, some of them replaced."""
    return FitConfig(**PRESETS["paper"] | settings)


def small_fit(**settings: Any) -> FitConfig:
    """A fit for two cores, some settings replaced."""
    return FitConfig(**SMALL | settings)
