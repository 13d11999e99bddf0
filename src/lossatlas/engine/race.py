"""Timing alternatives against each other on the real problem, in rounds, and deciding which is faster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from lossatlas.errors import format_error

__all__ = ["HOPELESS", "PATIENCE", "ROUNDS", "Contestant", "Outcome", "choose_simplest", "compare_times", "race"]

RUNS = 8
"""About how many runs the share of a contestant in the budget allows."""
GROWTH = 4
"""The factor by which the number of points is increased after a short run."""
SMALLER = 0.95
"""Fewer points at a time are chosen if they reach this share of the best speed, as they need less memory."""
ROUNDS = 3
"""The rounds of the fastest and the simplest even if the budget is used; fewer cannot distinguish a burst of load from
a difference."""
PATIENCE = 3.0
"""The most time that these rounds may take, in units of the budget."""
HOPELESS = 3.0
"""A contestant that took this many times as long as the best, and a long time, is not measured again."""
RIVAL = 1.5
"""A contestant that took this many times as long in significantly many rounds is not measured again either."""
MARGIN = 0.97
"""The largest ratio of times at which a contestant is called faster."""
FEW_ROUNDS = {1: 0.2, 2: 0.75}
"""The same for very few rounds, all of which have to agree."""
CLEAR = 0.5
"""A median ratio of times that needs no further evidence."""
CONFIDENCE = 1.0
"""How far above a half the share of rounds has to be that were won, times the square root of their number: two standard
deviations of a coin's."""
FAR, LESS = 0.85, 0.6
"""A median ratio of times for which a lower confidence suffices, and that confidence."""
SHORT = 0.005
"""The least seconds of a run, if there are enough points: many short rounds are more informative than few long ones."""


@dataclass(frozen=True)
class Contestant:
    """One alternative to do a piece of work that consists of any number of points."""

    prepare: Callable[[int], Callable[[], object]]
    """Makes a run of a number of points, which returns when they are done."""
    most: int
    """The largest number of points of a run."""
    share: float = 1.0
    """The share of a point's work that a run does."""
    least: int = 1
    """The smallest number of points of a run, if possible: those that are evaluated in parallel."""
    gains: bool = True
    """Whether a point may cost less if there are more of them, so that their number is searched for."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a race."""

    rounds: dict[str, list[float]]
    """The seconds per point of each round; contestants that dropped out have fewer."""
    refused: dict[str, str]
    """Why other contestants could not take part."""
    points: dict[str, int]
    """The number of points of the runs of each contestant."""

    @property
    def seconds(self) -> dict[str, float]:
        """The seconds per point, as the median over rounds."""
        return {name: median(times) for name, times in self.rounds.items()}

    @property
    def winner(self) -> str:
        """The name of the chosen contestant; see :func:`choose_simplest`."""
        return choose_simplest(self.rounds)


def compare_times(times: Sequence[float], others: Sequence[float]) -> float:
    """Compute the ratio of two times, as the median over rounds in which both were timed in turn.

    Load on a shared machine mostly lasts longer than a round, and affects both.
    """
    return median(_paired(times, others))


def choose_simplest(rounds: Mapping[str, Sequence[float]]) -> str:
    """Choose the simplest contestant than which no other is clearly faster, or else the fastest one.

    A later contestant replaces an earlier one if its median ratio is smaller by a margin, and the ratio is below one in
    significantly many rounds. Indistinguishable contestants thus lose to the simpler one, and a burst of load in a few
    rounds decides nothing.

    Args:
        rounds: the seconds of each round by name, the simpler first; contestants that dropped out have fewer rounds.

    >>> choose_simplest({"plain": [1.0, 1.1, 3.0, 1.0], "clever": [1.0, 1.0, 1.0, 1.0]})
    'plain'
    """
    names = iter(rounds)
    held = next(names)
    for name in names:
        if _is_faster(_paired(rounds[name], rounds[held])):
            held = name
    return held


def _paired(times: Sequence[float], others: Sequence[float]) -> list[float]:
    return [time / other for time, other in zip(times, others, strict=False)]


def _is_faster(ratios: Sequence[float]) -> bool:
    if len(ratios) in FEW_ROUNDS:
        return max(ratios) < FEW_ROUNDS[len(ratios)]
    typical = median(ratios)
    confidence = LESS if typical < FAR else CONFIDENCE
    return typical < CLEAR or (typical < MARGIN and _is_consistent(ratios, confidence))


def _is_consistent(ratios: Sequence[float], confidence: float = CONFIDENCE) -> bool:
    """Whether significantly many rounds were won."""
    won = sum(each < 1 for each in ratios) / len(ratios)
    return won >= min(1.0, 0.5 + confidence / math.sqrt(len(ratios)))


class _Runner:
    """A contestant in a race, with a number of points at a time."""

    def __init__(self, contestant: Contestant, points: int, clock: Callable[[], float]) -> None:
        self.contestant = contestant
        self.times: list[float] = []
        """The seconds per point of each round."""
        self._clock = clock
        self._shrunk = False
        self._prepare(points)

    def _prepare(self, points: int) -> None:
        self.points = points
        self._run = self.contestant.prepare(points)

    def shrunk(self) -> bool:
        """Whether the number of points had to be reduced for lack of memory since the last query."""
        found, self._shrunk = self._shrunk, False
        return found

    def time(self) -> float:
        """Time a run; the number of points is reduced from now on if the memory does not suffice."""
        while True:
            begin = self._clock()
            try:
                self._run()
            except torch.OutOfMemoryError:
                if self.points == 1:
                    raise
                torch.cuda.empty_cache()
                self._prepare(self.points // 2)
                self._shrunk = True
            else:
                return self._clock() - begin

    def per_point(self, seconds: float) -> float:
        return seconds / (self.points * self.contestant.share)


def race(
    contestants: Mapping[str, Contestant],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    *,
    finals: bool = True,
) -> Outcome:
    """Time contestants in turn, round after round, until the budget is used.

    Before the first round each contestant runs to warm up and to compile, and to find the best number of points at a
    time: the first run has as few points as possible, and the next ones more as long as runs are short. A contestant
    that fails in a round drops out.

    Args:
        contestants: the contestants by name, the simpler first.
        seconds: the budget, including compilation.
        clock: returns the time in seconds.
        finals: whether rounds after the budget are between the fastest and the chosen contestant, and not all.
    """
    started = clock()
    allowance = seconds / len(contestants) / RUNS if contestants else 0.0
    warmed: dict[str, tuple[_Runner, float]] = {}
    refused: dict[str, str] = {}
    for name, contestant in contestants.items():
        try:
            warmed[name] = _warmed(contestant, allowance, clock)
        except Exception as error:  # what is timed is a user's module, which may fail in any way
            refused[name] = format_error(error)
    racing = _hopeful(warmed, allowance, seconds)
    rounds, warm = 0, clock()
    for runner in racing.values():
        runner.shrunk()  # while it warmed up
    while len(racing) > 1 or (racing and not rounds):
        for name, runner in list(racing.items() if rounds % 2 else reversed(racing.items())):
            try:
                runner.times.append(runner.per_point(runner.time()))
            except Exception as error:
                refused[name] = format_error(error)
                del racing[name]
        rounds += 1
        shrunk = [runner for runner in racing.values() if runner.shrunk()]
        if shrunk:  # what was timed before is not what will run
            rounds = 0
            for runner in racing.values():
                runner.times.clear()
        elif clock() - started < seconds:
            racing = _rivals(racing, rounds)
        elif rounds < ROUNDS and clock() - warm < PATIENCE * seconds:
            racing = _finalists(racing) if finals else racing
        else:
            break
    runners = {name: runner for name, (runner, _) in warmed.items() if name not in refused}
    return Outcome(
        {name: runner.times for name, runner in runners.items()},
        refused,
        {name: runner.points for name, runner in runners.items()},
    )


def _warmed(contestant: Contestant, allowance: float, clock: Callable[[], float]) -> tuple[_Runner, float]:
    """A contestant at its best number of points, and the seconds of a run."""
    runner = _Runner(contestant, min(contestant.least, contestant.most), clock)
    spent = runner.time()
    if spent <= allowance:
        spent = runner.time()  # the first warmed up and compiled
    tried = [(runner, spent)]
    enough = allowance if contestant.gains else min(SHORT, allowance)

    def pays() -> bool:
        """Whether more points have been faster so far, which is unknown after a single run."""
        speeds = [each.per_point(seconds) for each, seconds in tried[-2:]]
        return len(speeds) == 1 or speeds[0] > RIVAL * speeds[1]

    # Evaluating points together shows its advantage only with many of them.
    while runner.points < contestant.most and (
        spent <= enough or (contestant.gains and spent <= RUNS * allowance and pays())
    ):
        wanted = min(contestant.most, GROWTH * runner.points)
        runner = _Runner(contestant, wanted, clock)
        runner.time()  # finds how many there is memory for
        spent = runner.time()
        tried.append((runner, spent))
        if runner.points < wanted:
            break
    fastest = min(runner.per_point(spent) for runner, spent in tried)
    return next(entry for entry in tried if SMALLER * entry[0].per_point(entry[1]) <= fastest)


def _hopeful(warmed: Mapping[str, tuple[_Runner, float]], allowance: float, seconds: float) -> dict[str, _Runner]:
    """The contestants that are not far behind; the others keep the time of their first runs."""
    best = min((runner.per_point(spent) for runner, spent in warmed.values()), default=0.0)
    racing = {}
    for number, (name, (runner, spent)) in enumerate(warmed.items()):
        if number and spent > allowance and runner.per_point(spent) > HOPELESS * best:
            if spent < seconds:  # a burst may have met it
                spent = min(spent, runner.time())
            if runner.per_point(spent) > HOPELESS * best:
                runner.times.append(runner.per_point(spent))
                continue
        racing[name] = runner
    return racing


def _finalists(racing: Mapping[str, _Runner]) -> dict[str, _Runner]:
    """The contestant that would be chosen now, and the fastest one."""
    if not racing:
        return {}
    taken = choose_simplest({name: runner.times for name, runner in racing.items()})
    fastest = min(racing, key=lambda name: median(racing[name].times))
    return {name: racing[name] for name in racing if name in (taken, fastest)}


def _rivals(racing: Mapping[str, _Runner], rounds: int) -> dict[str, _Runner]:
    """The contestants for another round: all of them until there were enough rounds."""
    if rounds < ROUNDS or not racing:
        return dict(racing)
    leader = min(racing.values(), key=lambda runner: median(runner.times))

    def hopes(runner: _Runner) -> bool:
        ahead = _paired(leader.times, runner.times)
        behind = 1 / median(ahead)
        return behind <= RIVAL or (behind <= HOPELESS and not _is_consistent(ahead))

    return {name: runner for name, runner in racing.items() if hopes(runner)}
