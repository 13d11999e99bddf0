"""The settings of the multi-point paper (Skorokhodov & Burtsev 2019, arXiv 1910.03867, appendices A and B).

What the paper leaves open is taken from its authors' code: the clip is that of a cell's mean, a step samples 50 low and
50 high cells, and the budget is 100 epochs of FashionMNIST.
"""

from typing import Any

__all__ = ["PAPER"]

PAPER: dict[str, Any] = {
    "model": "conv",
    "size": "50",
    "coarse": (),
    "shares": (1.0,),
    "clip": "cell",
    "threshold": 2.5,
    "cells": 50,
    "boundary_only": True,
    "batch_size": 512,
    "optimizer": "adam",
    "lr": 3e-4,
    "scale_lr": 3e-4,
    "max_norm": float("inf"),
    "betas": (0.9, 0.999),
    "schedule": "constant",
    "chart": "plane",
    "origin_at": "corner",
    "scale": 0.1,
    "scale_unit": "cell",
    "init": "xavier",
    "seconds": None,
    "steps": 11800,
    "examples": "2000",
}
