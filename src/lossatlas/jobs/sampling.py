"""What work takes, from timed runs of a small part of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log
from statistics import median

__all__ = ["FEW", "ONCE", "SUSTAINED", "Rate", "Work", "sample_points", "sample_steps"]

FEW = 32
"""Examples of a first run."""
SHARE = 0.01
"""Of what a run is expected to take, this may be spent on foretelling it, or about;"""
LEAST_SECONDS, MOST_SECONDS = 0.1, 2.0
"""never less and never more than these, one run of the smallest part apart."""
REPEATS = 3
GROWTH = 4
"""A run is followed by one of so many times as many points."""
SUSTAINED = 1.5
"""How far even a repeated measurement can be off. Minutes are not like a second where others use the machine: on two
cores that ten processes shared surveys took 1.3 to 1.8 times what was measured just before, and 0.7 to 1.2 times in
seconds of the processor.
"""
ONCE = 2.0
"""How far a single run can be off, which may have warmed up, compiled or met a stall."""
FEWER = 1.5
"""How far it can be off that fewer examples were timed than are evaluated together."""
STACKED, WORST = 2.0, 4.0
"""How far it can be off that fewer points were timed than a chunk has, where activations of all are in memory together:
so much for each growth that is missing, and at most so much. From 16 to 64 points a small convolutional network took
four times as long for each."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Rate:
    """Seconds of a unit of work, and by which factor these can be off, up or down."""

    seconds: float
    factor: float = 1.0


@dataclass(frozen=True)
class Work:
    """Points to be evaluated on examples.

    Attributes:
        units: points times examples in all.
        points: that are evaluated at once, at most.
        examples: that are evaluated at once, at most.
        apart: points that a first run needs, so that nothing idles: the threads of a strategy that spreads points.
        stacks: whether activations of all points are in memory together.
        passed: examples that go through each network besides, for its statistics, whatever it is evaluated on.
    """

    units: float
    points: int
    examples: int
    apart: int = 1
    stacks: bool = False
    passed: int = 0

    def of(self, points: int, examples: int) -> float:
        """The units of so many points on so many examples."""
        return points * (self.passed + examples)


def sample_points(
    run: Callable[[int, int], object], work: Work, besides: float = 0.0, clock: Clock = time.perf_counter
) -> Rate:
    """Time evaluations of a few points on a few examples, of more as long as that costs little beside the work.

    Args:
        run: evaluates so many points on so many examples.
        work: what there is to do.
        besides: seconds that the run takes for other things.
        clock: what tells the time.

    Returns:
        The rate of a unit, which is a point on an example.
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
    else:  # what a unit took in the run before, of a smaller part, is a measurement, too
        factor = min(ONCE, max(SUSTAINED, trend, 1 / trend)) if warm else ONCE
    if examples < work.examples:
        factor *= FEWER
    if work.stacks and points < work.points:
        # What does not fit into the caches any more costs more; how much, shows in what the last points cost.
        growths = ceil(log(work.points / points, GROWTH))
        factor *= min(WORST, max(STACKED, trend) ** growths)
    return Rate(median(taken) / work.of(points, examples), factor)


def sample_steps(
    step: Callable[[], object], steps: int, besides: float = 0.0, clock: Clock = time.perf_counter
) -> Rate:
    """Time a few steps: the first, which warms up, and more as long as that costs little beside all of them.

    Args:
        step: makes one.
        steps: how many there will be.
        besides: seconds that the run takes for other things.
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
    """Seconds that may be spent on foretelling a run that is expected to take so many."""
    return min(MOST_SECONDS, max(LEAST_SECONDS, SHARE * expected))
