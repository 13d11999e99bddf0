"""What a run would cost: a dry run."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from lossatlas.surveying import Surveyor

__all__ = ["Estimate", "peak_bytes", "point_seconds", "timed"]

PATIENCE = 5.0
"""Seconds above which a sample of points is evaluated once in a dry run."""


@dataclass(frozen=True)
class Estimate:
    """What a run would cost."""

    work: Mapping[str, str]
    """Per phase how much there is to compute."""
    seconds: float
    peak_bytes: int
    disk_bytes: int


def peak_bytes() -> int:
    """The most memory that the process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def timed(run: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def point_seconds(surveyor: Surveyor, split: str, group: str, points: int) -> float:
    """What a group of metrics takes at a point of a split, once everything is warm.

    Args:
        surveyor: of the points.
        split: its name.
        group: of metrics, one of ``surveyor.chunks()``.
        points: as many as there will be.
    """
    coords = torch.zeros(min(points, surveyor.chunks()[group]), len(surveyor.chart.axes), dtype=torch.float64)

    def evaluate() -> object:
        return surveyor.at(coords, split, group)

    cold = timed(evaluate)
    return (min(timed(evaluate) for _ in range(2)) if cold < PATIENCE else cold) / len(coords)
