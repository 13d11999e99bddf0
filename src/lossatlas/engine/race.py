"""Timing contestants against each other on the real problem, in rounds, and telling who is faster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from lossatlas.engine.memory import chunk_that_fits
from lossatlas.errors import in_one_line

__all__ = ["RUNS", "Contestant", "Outcome", "race", "ratio", "simplest_of_the_fastest"]

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

    def run(self, points: int) -> None:
        """Do the work once."""
        self.prepare(points)()


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
        """Who is to do the work; see :func:`simplest_of_the_fastest`."""
        return simplest_of_the_fastest(self.rounds)


def ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """How many times as long the first takes as the second: the median over rounds, in which both were timed in turn.

    Noise of a shared machine lasts longer than a round, mostly, and meets both.
    """
    return median(_paired(times, others))


def simplest_of_the_fastest(rounds: Mapping[str, Sequence[float]]) -> str:
    """Of contestants, the simpler first, the one that nobody is clearly faster than, or else the fastest.

    A later one takes the place of an earlier one where its median ratio says so by a margin and more rounds than chance
    would give do, too. So who cannot be told apart loses to the simpler one, and a burst of noise in a few rounds
    decides nothing.

    Args:
        rounds: per name the seconds of each round, in the order of rounds; who dropped out has fewer.

    >>> simplest_of_the_fastest({"plain": [1.0, 1.1, 3.0, 1.0], "clever": [1.0, 1.0, 1.0, 1.0]})
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
    return typical < CLEAR or (typical < MARGIN and _is_consistent(ratios))


def _is_consistent(ratios: Sequence[float]) -> bool:
    """Whether so many rounds were won that chance would hardly give it."""
    won = sum(each < 1 for each in ratios) / len(ratios)
    return won >= min(1.0, 0.5 + CONFIDENCE / math.sqrt(len(ratios)))


@dataclass
class _Runner:
    """A contestant in a race."""

    contestant: Contestant
    run: Callable[[], object]
    points: int = 1
    times: list[float] = field(default_factory=list)

    def per_point(self, seconds: float) -> float:
        return seconds / (self.points * self.contestant.share)


def race(
    contestants: Mapping[str, Contestant], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> Outcome:
    """Time contestants in turn, round after round, until the budget is used.

    Before the first round everybody runs to warm up and to compile, and finds the number of points at a time that pays:
    the first run is of as few as may be, and as long as runs are short the next is of more. Nothing is said of others
    than were run.

    Args:
        contestants: by name, the simpler first.
        seconds: the budget, compilation included.
        clock: what tells the time.
    """

    def timed(run: Callable[[], object]) -> float:
        begin = clock()
        run()
        return clock() - begin

    started = clock()
    allowance = seconds / len(contestants) / RUNS if contestants else 0.0
    warmed: dict[str, tuple[_Runner, float]] = {}
    refused: dict[str, str] = {}
    for name, contestant in contestants.items():
        try:
            warmed[name] = _warmed(contestant, allowance, timed)
        except Exception as error:  # what is timed is a user's module, which may fail in any way
            refused[name] = in_one_line(error)
    best = min((runner.per_point(spent) for runner, spent in warmed.values()), default=0.0)
    racing: list[_Runner] = []
    for number, (runner, spent) in enumerate(warmed.values()):
        if number and spent > allowance and runner.per_point(spent) > HOPELESS * best:
            if spent < seconds:  # a burst may have met it
                spent = min(spent, timed(runner.run))
            if runner.per_point(spent) > HOPELESS * best:
                runner.times.append(runner.per_point(spent))
                continue
        racing.append(runner)
    rounds, warm = 0, clock()
    while racing:
        for runner in racing if rounds % 2 else reversed(racing):
            runner.times.append(runner.per_point(timed(runner.run)))
        rounds += 1
        if clock() - started < seconds:
            racing = _rivals(racing, rounds)
        elif rounds < ROUNDS and clock() - warm < PATIENCE * seconds:
            racing = _finalists(racing)
        else:
            break
        if len(racing) == 1:
            break
    runners = {name: runner for name, (runner, _) in warmed.items()}
    return Outcome(
        {name: runner.times for name, runner in runners.items()},
        refused,
        {name: runner.points for name, runner in runners.items()},
    )


def _warmed(
    contestant: Contestant, allowance: float, timed: Callable[[Callable[[], object]], float]
) -> tuple[_Runner, float]:
    """A contestant at the number of points that pays, and how long a run of it takes."""
    least = min(contestant.least, contestant.most)
    runner = _Runner(contestant, contestant.prepare(least), least)
    spent = timed(runner.run)
    if spent <= allowance:
        spent = timed(runner.run)  # the first warmed up and compiled
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
        points = chunk_that_fits(contestant.run, wanted)
        runner = _Runner(contestant, contestant.prepare(points), points)
        spent = timed(runner.run)
        tried.append((runner, spent))
        if points < wanted:
            break
    fastest = min(runner.per_point(spent) for runner, spent in tried)
    return next(entry for entry in tried if SMALLER * entry[0].per_point(entry[1]) <= fastest)


def _finalists(racing: Sequence[_Runner]) -> list[_Runner]:
    """Who would be taken now, and who was the fastest."""
    times = {str(place): runner.times for place, runner in enumerate(racing)}
    taken = int(simplest_of_the_fastest(times))
    fastest = min(range(len(racing)), key=lambda place: median(racing[place].times))
    return [racing[place] for place in sorted({taken, fastest})]


def _rivals(racing: Sequence[_Runner], rounds: int) -> list[_Runner]:
    """Those that are worth another round: all of them until there were enough to tell."""
    if rounds < ROUNDS:
        return list(racing)
    leader = min(racing, key=lambda runner: median(runner.times))

    def hopes(runner: _Runner) -> bool:
        ahead = _paired(leader.times, runner.times)
        behind = 1 / median(ahead)
        return behind <= RIVAL or (behind <= HOPELESS and not _is_consistent(ahead))

    return [runner for runner in racing if hopes(runner)]
