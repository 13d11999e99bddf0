"""Timing contestants against each other on the real problem, in rounds, and telling who is faster."""

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
"""About how many runs a contestant's share of the budget is good for."""
GROWTH = 4
"""A run that was short is followed by one of so many times as many points."""
SMALLER = 0.95
"""Fewer points at a time are taken where they reach such a share of the best speed: they keep less in memory."""
ROUNDS = 3
"""Rounds that the fastest and the simplest have even where the budget is used up: with fewer, nobody tells a burst from
a difference."""
PATIENCE = 3.0
"""Times the budget that rounds may take for that."""
HOPELESS = 3.0
"""Who took that many times as long as the best, and long, is not measured again."""
RIVAL = 1.5
"""Who took so many times as long, and in more rounds than chance would give, is not measured again either."""
MARGIN = 0.97
"""The share of the other's time that whoever is called faster takes at most."""
FEW_ROUNDS = {1: 0.2, 2: 0.75}
"""That share where there were so few rounds, all of which count."""
CLEAR = 0.5
"""A median share of the other's time that speaks for itself."""
CONFIDENCE = 1.0
"""How far above a half the share of rounds has to be that were won, times the square root of their number: two standard
deviations of a coin's."""
FAR, LESS = 0.85, 0.6
"""A median share of the other's time for which so much confidence does."""
SHORT = 0.005
"""Seconds that a run has at least, where a contestant has so many points: many short rounds say more than few long."""


@dataclass(frozen=True)
class Contestant:
    """One way of doing a piece of work that consists of any number of points."""

    prepare: Callable[[int], Callable[[], object]]
    """From a number of points to a run of so many, which returns when they are done."""
    most: int
    """Points that a run may have."""
    share: float = 1.0
    """Of a point's work that a run does."""
    least: int = 1
    """Points that a run has at least, if it may: those that are worked on side by side."""
    gains: bool = True
    """Whether points may cost less when there are more of them, so that it is worth while to look for their number."""


@dataclass(frozen=True)
class Outcome:
    """What a race showed."""

    rounds: dict[str, list[float]]
    """Seconds per point, round by round; who dropped out has fewer."""
    refused: dict[str, str]
    """Why others could not take part."""
    points: dict[str, int]
    """How many points the runs of each contestant had."""

    @property
    def seconds(self) -> dict[str, float]:
        """Per point, the median over rounds."""
        return {name: median(times) for name, times in self.rounds.items()}

    @property
    def winner(self) -> str:
        """Who is to do the work; see :func:`choose_simplest`."""
        return choose_simplest(self.rounds)


def compare_times(times: Sequence[float], others: Sequence[float]) -> float:
    """How many times as long the first takes as the second: the median over rounds, in which both were timed in turn.

    Noise of a shared machine lasts longer than a round, mostly, and meets both.
    """
    return median(_paired(times, others))


def choose_simplest(rounds: Mapping[str, Sequence[float]]) -> str:
    """Of contestants, the simpler first, the one that nobody is clearly faster than, or else the fastest.

    A later one takes the place of an earlier one where its median ratio says so by a margin and more rounds than chance
    would give do, too. So who cannot be told apart loses to the simpler one, and a burst of noise in a few rounds
    decides nothing.

    Args:
        rounds: per name the seconds of each round, in the order of rounds; who dropped out has fewer.

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
    """Whether so many rounds were won that chance would hardly give it."""
    won = sum(each < 1 for each in ratios) / len(ratios)
    return won >= min(1.0, 0.5 + confidence / math.sqrt(len(ratios)))


class _Runner:
    """A contestant in a race, with a number of points at a time."""

    def __init__(self, contestant: Contestant, points: int, clock: Callable[[], float]) -> None:
        self.contestant = contestant
        self.times: list[float] = []
        """Seconds per point, round by round."""
        self._clock = clock
        self._shrunk = False
        self._prepare(points)

    def _prepare(self, points: int) -> None:
        self.points = points
        self._run = self.contestant.prepare(points)

    def shrunk(self) -> bool:
        """Whether memory did not do for so many points any more since this was asked last."""
        found, self._shrunk = self._shrunk, False
        return found

    def time(self) -> float:
        """How long a run takes; of fewer points from now on, where memory does not do for so many any more."""
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

    Before the first round everybody runs to warm up and to compile, and finds the number of points at a time that pays:
    the first run is of as few as may be, and as long as runs are short the next is of more. Nothing is said of others
    than were run. Who fails in a round is out.

    Args:
        contestants: by name, the simpler first.
        seconds: the budget, compilation included.
        clock: what tells the time.
        finals: whether rounds after the budget are between the fastest and who would be taken, rather than all.
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
    """A contestant at the number of points that pays, and how long a run of it takes."""
    runner = _Runner(contestant, min(contestant.least, contestant.most), clock)
    spent = runner.time()
    if spent <= allowance:
        spent = runner.time()  # the first warmed up and compiled
    tried = [(runner, spent)]
    enough = allowance if contestant.gains else min(SHORT, allowance)

    def pays() -> bool:
        """Whether more points were worth it so far, which nobody knows of one."""
        speeds = [each.per_point(seconds) for each, seconds in tried[-2:]]
        return len(speeds) == 1 or speeds[0] > RIVAL * speeds[1]

    # Who takes points together shows what that is worth with many of them only.
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
    """Those who are not far behind already; the others have the time of their first runs."""
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
    """Who would be taken now, and who was the fastest."""
    if not racing:
        return {}
    taken = choose_simplest({name: runner.times for name, runner in racing.items()})
    fastest = min(racing, key=lambda name: median(racing[name].times))
    return {name: racing[name] for name in racing if name in (taken, fastest)}


def _rivals(racing: Mapping[str, _Runner], rounds: int) -> dict[str, _Runner]:
    """Those that are worth another round: all of them until there were enough to tell."""
    if rounds < ROUNDS or not racing:
        return dict(racing)
    leader = min(racing.values(), key=lambda runner: median(runner.times))

    def hopes(runner: _Runner) -> bool:
        ahead = _paired(leader.times, runner.times)
        behind = 1 / median(ahead)
        return behind <= RIVAL or (behind <= HOPELESS and not _is_consistent(ahead))

    return {name: runner for name, runner in racing.items() if hopes(runner)}
