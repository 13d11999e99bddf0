"""The settings of the multi-point paper (Skorokhodov & Burtsev 2019, arXiv 1910.03867, appendices A and B)."""

from typing import Any

__all__ = ["PAPER"]

SIZE = 50

PAPER: dict[str, Any] = {
    "size": str(SIZE),
    "coarse": (),
    "shares": (1.0,),
    "clip": "cell",
    "threshold": 2.5,
    "cells": 50,
    "batch_size": 512,
    "lr": 3e-4,
    "betas": (0.9, 0.999),
    "schedule": "constant",
    # The paper's scale of 0.1 is per pixel; Adam's step on it, too, is 3e-4 per pixel.
    "scale": 0.1 * SIZE / 2,
    "scale_lr": 3e-4 * SIZE / 2,
    "init": "xavier",
    "seconds": None,
    "steps": 11800,
}
