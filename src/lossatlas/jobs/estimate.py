"""The estimated cost of a run, as a dry run prints it."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lossatlas.jobs.forecast import Forecast

__all__ = ["Estimate", "measure_peak_bytes", "measure_seconds"]


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of a run."""

    work: Mapping[str, str]
    """The amount of work by phase, in words."""
    forecast: Forecast
    """The expected time of each phase, and its uncertainty."""
    peak_bytes: int
    """The peak memory in bytes while a few points were measured."""
    disk_bytes: int
    chunk_bytes: int = 0
    """The bytes that a full chunk of points may take in addition, at most."""
    tasks: tuple[int, str, str] | None = None
    """How many pieces workers can work on at once, what these are, and how to have more; None if it is one piece."""


def measure_peak_bytes() -> int:
    """Return the peak memory of the process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_seconds(run: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
