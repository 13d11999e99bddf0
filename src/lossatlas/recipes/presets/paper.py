"""The settings of the multi-point paper (Skorokhodov & Burtsev 2019, arXiv 1910.03867, appendices A and B)."""

from typing import Any

__all__ = ["PAPER"]

PAPER: dict[str, Any] = {
    "size": "50",
    "coarse": (),
    "shares": (1.0,),
    "clip": "cell",
    "threshold": 2.5,
    "cells": 50,
    "boundary_only": True,
    "batch_size": 512,
    "lr": 3e-4,
    "betas": (0.9, 0.999),
    "schedule": "constant",
    "scale": 0.1,
    "scale_unit": "cell",
    "init": "xavier",
    "seconds": None,
    "steps": 11800,
}
