"""What a run would cost: a dry run."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lossatlas.jobs.forecast import Forecast

__all__ = ["Estimate", "measure_peak_bytes", "measure_seconds"]


@dataclass(frozen=True)
class Estimate:
    """What a run would cost."""

    work: Mapping[str, str]
    """Per phase how much there is to compute."""
    forecast: Forecast
    """How long each phase takes, and by how much that can be off."""
    peak_bytes: int
    """The most that measuring a few points has held."""
    disk_bytes: int
    chunk_bytes: int = 0
    """What a whole chunk of points may take besides, at most."""


def measure_peak_bytes() -> int:
    """The most memory that the process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_seconds(run: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
