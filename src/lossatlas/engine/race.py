"""Timing candidates against each other on the real problem, within a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from lossatlas.errors import first_line

__all__ = ["Contestant", "Outcome", "race"]

FEWEST = 2
"""Points of the first run, which warms up, compiles, and tells how many points a run may have."""
RUNS = 20
"""About how many runs a budget is good for."""
RIVAL = 3.0
"""Who took that many times as long as the best is not measured again; nobody stalls for three runs in turn."""


@dataclass(frozen=True)
class Contestant:
    """One way of doing a piece of work that consists of any number of points."""

    prepare: Callable[[int], Callable[[], object]]
    """From a number of points to a run of so many."""
    most: int
    """Points that a run may have."""


@dataclass(frozen=True)
class Outcome:
    """What a race showed."""

    seconds: dict[str, float]
    """Per point, the shortest of each contestant's runs: machines are shared, and stalls only lengthen."""
    refused: dict[str, str]
    """Why others could not take part."""


def race(
    contestants: Mapping[str, Contestant], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> Outcome:
    """Time contestants in turn, round after round, until the budget is used; everybody has one round at least.

    Args:
        contestants: by name.
        seconds: the budget, compilation included.
        clock: what tells the time.
    """

    def timed(run: Callable[[], object]) -> float:
        begin = clock()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return clock() - begin

    started = clock()
    best: dict[str, float] = {}
    refused: dict[str, str] = {}
    runs: dict[str, tuple[Callable[[], object], int]] = {}
    for name, contestant in contestants.items():
        try:
            few = min(FEWEST, contestant.most)
            run = contestant.prepare(few)
            first = timed(run) / few
            if clock() - started < seconds:
                first = min(first, timed(run) / few)
            affordable = int(seconds / RUNS / len(contestants) / first)
            points = max(few, min(contestant.most, affordable))
            runs[name] = (contestant.prepare(points), points)
            best[name] = min(first, timed(runs[name][0]) / points)
        except Exception as error:  # what is timed is a user's module, which may fail in any way
            refused[name] = first_line(error)
    while runs and clock() - started < seconds:
        limit = RIVAL * min(best.values())
        runs = {name: entry for name, entry in runs.items() if best[name] <= limit}
        if len(runs) == 1:
            break
        for name, (run, points) in runs.items():
            best[name] = min(best[name], timed(run) / points)
    return Outcome(best, refused)
