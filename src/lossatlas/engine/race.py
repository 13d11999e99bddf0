"""Timing candidates against each other on the real problem, within a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lossatlas.engine.memory import chunk_that_fits
from lossatlas.errors import in_one_line

__all__ = ["RUNS", "Contestant", "Outcome", "race"]

RUNS = 8
"""About how many runs a contestant's share of the budget is good for."""
GROWTH = 4
"""A run that was short is followed by one of so many times as many points."""
RIVAL = 3.0
"""Who took that many times as long as the best is not measured again; nobody stalls for three runs in turn."""


@dataclass(frozen=True)
class Contestant:
    """One way of doing a piece of work that consists of any number of points."""

    prepare: Callable[[int], Callable[[], object]]
    """From a number of points to a run of so many, which returns when they are done."""
    most: int
    """Points that a run may have."""

    def run(self, points: int) -> None:
        """Do the work once."""
        self.prepare(points)()


@dataclass(frozen=True)
class Outcome:
    """What a race showed."""

    seconds: dict[str, float]
    """Per point, the shortest of each contestant's runs: machines are shared, and stalls only lengthen."""
    refused: dict[str, str]
    """Why others could not take part."""
    points: dict[str, int]
    """How many points each contestant's runs had in the end."""


def race(
    contestants: Mapping[str, Contestant], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> Outcome:
    """Time contestants in turn, round after round, until the budget is used; everybody has one run at least.

    The first run is of one point; as long as runs are short, the next is of more.

    Args:
        contestants: by name.
        seconds: the budget, compilation included.
        clock: what tells the time.
    """

    def timed(run: Callable[[], object]) -> float:
        begin = clock()
        run()
        return clock() - begin

    def in_time() -> bool:
        return clock() - started < seconds

    started = clock()
    best: dict[str, float] = {}
    refused: dict[str, str] = {}
    sizes: dict[str, int] = {}
    runs: dict[str, tuple[Callable[[], object], int]] = {}

    def attempt(name: str, run: Callable[[], object], points: int) -> float:
        spent = timed(run)
        best[name] = min(best.get(name, float("inf")), spent / points)
        return spent

    allowance = seconds / len(contestants) / RUNS if contestants else 0.0
    for name, contestant in contestants.items():
        try:
            points, run = 1, contestant.prepare(1)
            spent = attempt(name, run, 1)
            if in_time():
                spent = attempt(name, run, 1)  # the first warmed up and compiled
            # Who takes points together shows what that is worth with many of them only.
            while points < contestant.most and spent <= allowance:
                wanted = min(contestant.most, GROWTH * points)
                points = chunk_that_fits(contestant.run, wanted)
                run = contestant.prepare(points)
                spent = attempt(name, run, points)
                if points < wanted:
                    break
            runs[name], sizes[name] = (run, points), points
        except Exception as error:  # what is timed is a user's module, which may fail in any way
            refused[name] = in_one_line(error)
            best.pop(name, None)
    while len(runs) > 1 and in_time():
        limit = RIVAL * min(best.values())
        runs = {name: entry for name, entry in runs.items() if best[name] <= limit}
        for name, (run, points) in runs.items():
            attempt(name, run, points)
    return Outcome(best, refused, sizes)
