"""The time that work takes, extrapolated from timed runs of a small part of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log
from statistics import median

__all__ = ["FEW", "ONCE", "SUSTAINED", "Rate", "Work", "sample_points", "sample_steps"]

FEW = 32
"""The number of examples in the first timed run."""
SHARE = 0.01
"""The share of a run's expected time that may be spent on its forecast, approximately."""
LEAST_SECONDS, MOST_SECONDS = 0.1, 2.0
"""The bounds in seconds of the time spent on a forecast, apart from one timed run of the smallest part."""
REPEATS = 3
GROWTH = 4
"""The factor by which the number of points grows from one timed run to the next."""
SUSTAINED = 1.5
"""The factor by which even a repeated measurement may be wrong. On a shared machine minutes differ from a second: on
two cores that ten processes shared, surveys took 1.3 to 1.8 times the time measured just before, and 0.7 to 1.2 times
its CPU time.
"""
ONCE = 2.0
"""The factor by which a single timed run may be wrong: it may include warming up, compilation or a stall."""
FEWER = 1.5
"""The factor by which a rate may be wrong if fewer examples were timed than are evaluated together."""
STACKED, WORST = 2.0, 4.0
"""The factors by which a rate may be wrong if fewer points were timed than a chunk has and the activations of all
points are in memory together: for each missing growth step, and at most. From 16 to 64 points a small convolutional
network took four times as long per point."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Rate:
    """The seconds per unit of work, and the factor by which these may be wrong, up or down."""

    seconds: float
    factor: float = 1.0


@dataclass(frozen=True)
class Work:
    """The evaluation of points on examples, as an amount of work.

    Attributes:
        units: The total of points times examples.
        points: The largest number of points that are evaluated at once.
        examples: The largest number of examples that are evaluated at once.
        apart: The number of points that a timed run needs to occupy all threads of a strategy.
        stacks: Whether the activations of all points are in memory together.
        passed: The number of examples that each network also processes to re-estimate its running statistics.
    """

    units: float
    points: int
    examples: int
    apart: int = 1
    stacks: bool = False
    passed: int = 0

    def of(self, points: int, examples: int) -> float:
        """Return the units of work of these numbers of points and examples."""
        return points * (self.passed + examples)


def sample_points(
    run: Callable[[int, int], object], work: Work, besides: float = 0.0, clock: Clock = time.perf_counter
) -> Rate:
    """Time the evaluation of a few points on a few examples, then of more as long as that costs little.

    Args:
        run: evaluates the given numbers of points and examples.
        work: what there is to do.
        besides: the seconds that the run takes for other things.
        clock: what tells the time.

    Returns:
        The seconds per unit, a point times an example.
    """
    few = min(FEW, work.examples)
    first = min(work.apart, work.points)
    spent, unit, trend = 0.0, 0.0, 1.0

    def timed(points: int, examples: int) -> float:
        nonlocal spent, unit
        begin = clock()
        run(points, examples)
        took = clock() - begin
        spent += took
        unit = took / work.of(points, examples)
        return took

    def allows(points: int, examples: int) -> bool:
        return spent + unit * work.of(points, examples) <= allowance(work.units * unit + besides)

    points, examples = first, few
    taken = [timed(points, examples)]
    warm = False
    if allows(points, examples):
        taken, warm = [timed(points, examples)], True
    larger = [(first, work.examples)] if work.examples > few else []
    while (count := larger[-1][0] if larger else first) < work.points:
        larger.append((min(work.points, GROWTH * count), work.examples))
    for points_then, examples_then in larger:
        if not allows(points_then, examples_then):
            break
        before = unit
        points, examples = points_then, examples_then
        taken, warm = [timed(points, examples)], True
        trend = unit / before
    while warm and len(taken) < REPEATS and allows(points, examples):
        taken.append(timed(points, examples))
    if len(taken) > 1:
        factor = max(SUSTAINED, max(taken) / min(taken))
    else:  # the rate of the timed run before, of a smaller part, is a measurement, too
        factor = min(ONCE, max(SUSTAINED, trend, 1 / trend)) if warm else ONCE
    if examples < work.examples:
        factor *= FEWER
    if work.stacks and points < work.points:
        # Work that no longer fits the caches costs more, which the cost of the last points shows.
        growths = ceil(log(work.points / points, GROWTH))
        factor *= min(WORST, max(STACKED, trend) ** growths)
    return Rate(median(taken) / work.of(points, examples), factor)


def sample_steps(
    step: Callable[[], object], steps: int, besides: float = 0.0, clock: Clock = time.perf_counter
) -> Rate:
    """Time a few steps: the first, which warms up, and then more as long as that costs little.

    Args:
        step: makes a step.
        steps: the number of steps of the run.
        besides: the seconds that the run takes for other things.
        clock: what tells the time.
    """
    taken: list[float] = []
    while len(taken) <= min(REPEATS, steps):
        begin = clock()
        step()
        taken.append(clock() - begin)
        if sum(taken) + taken[-1] > allowance(steps * taken[-1] + besides):
            break
    warm = taken[1:]
    if not warm:
        return Rate(taken[0], ONCE)
    return Rate(median(warm), max(SUSTAINED, max(warm) / min(warm)))


def allowance(expected: float) -> float:
    """Return the seconds that may be spent on the forecast of a run with this expected time."""
    return min(MOST_SECONDS, max(LEAST_SECONDS, SHARE * expected))
