"""The estimated cost of a run, as a dry run prints it."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lossatlas.jobs.forecast import Forecast

__all__ = ["Estimate", "Pieces", "measure_peak_bytes", "measure_seconds"]


@dataclass(frozen=True)
class Pieces:
    """What workers can share of a run."""

    phase: str
    """The phase of the run that consists of them."""
    count: int
    """How many can be worked on at once, at most."""
    what: str
    """What they are, in the plural."""
    advice: str = ""
    """How to have more of them, for the end of a message."""


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
    pieces: Pieces | None = None
    """What workers can share; None if all of it is one piece."""


def measure_peak_bytes() -> int:
    """Return the peak memory of the process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_seconds(run: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
