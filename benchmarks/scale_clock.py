"""The clock of a simulation: what workers do takes time, and what they ask of a file server more where many do.

Workers are generators that say what they do next; time passes as far as that takes.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import count
from typing import Any

from scale_costs import Cost

__all__ = ["Clock", "Demand", "Server", "Steps", "Turn"]

Steps = Generator[tuple[str, Any, str], None, None]
"""A step is ``sleep`` and seconds, ``serve`` and a :class:`Demand`, or ``turn`` and a :class:`Turn`; and its cause."""


@dataclass(frozen=True)
class Server:
    """A file server: requests a second that it answers at most, and seconds until it has answered one.

    The defaults are those of Amazon EFS, a regional file system in General Purpose mode with provisioned throughput
    (https://docs.aws.amazon.com/efs/latest/ug/performance.html): 55,000 reads and 25,000 writes a second, about 1 ms
    and 2.7 ms. Lustre on a rack of hard disks made 504 files a second for one thread and 15,000 for 240, and
    asked for the state of 2,000 to 400,000 (mdtest; Dell Storage for HPC with Intel Enterprise Edition for Lustre,
    section 4.4).
    """

    read_rate: float = 55_000.0
    write_rate: float = 25_000.0
    read_seconds: float = 1e-3
    write_seconds: float = 2.7e-3

    def demand(self, cost: Cost) -> Demand:
        """What a unit of work asks of the server and of its client, whose requests follow each other."""
        return Demand(
            cost.seconds + cost.reads * self.read_seconds + cost.writes * self.write_seconds,
            cost.reads / self.read_rate + cost.writes / self.write_rate,
        )


@dataclass(frozen=True)
class Demand:
    """How long something takes when nobody else asks (``seconds``), and how much of the server's time (``share``)."""

    seconds: float = 0.0
    share: float = 0.0

    def __add__(self, other: Demand) -> Demand:
        return Demand(self.seconds + other.seconds, self.share + other.share)

    def __mul__(self, times: float) -> Demand:
        return Demand(times * self.seconds, times * self.share)


class Turn:
    """What one has at a time, in the order of asking."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Steps, str, float]] = deque()
        self.taken = False


class Clock:
    """Has workers go on when what they do is done.

    Work at the server goes on at its full speed as long as all that is asked at once takes no more than its time; all
    of it is slowed down alike when more is asked. ``_progress`` is how far a piece would be that is always there.

    Attributes:
        now: Seconds since the beginning.
        spent: By cause the seconds of all workers, in steps that have ended.
        busy: Seconds for which the server was.
        saturated: Seconds in which more was asked of it than it can do.
        background: What is asked of it all the time, as a share of what it can do.
        turns: Those that are waited for.
        on_wait: Called with 1 when somebody begins to wait for a turn, and with -1 at the end.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.spent: Counter[str] = Counter()
        self.busy = self.saturated = self.background = 0.0
        self.turns: list[Turn] = []
        self.on_wait: Callable[[int], None] = lambda _: None
        self._progress = self._asked = 0.0
        self._timers: list[tuple[float, int, Any]] = []
        self._served: list[tuple[float, int, float, tuple[Steps, str, float]]] = []
        self._order = count()

    def at(self, moment: float, then: Callable[[], None]) -> None:
        """Have something happen at a moment."""
        heapq.heappush(self._timers, (moment, next(self._order), then))

    def begin(self, steps: Steps) -> None:
        """Have a worker take its first step."""
        self.go_on(steps, "starting", self.now)

    def go_on(self, steps: Steps, cause: str, since: float) -> None:
        """Have a worker take its next step, after one that it began at a moment."""
        self.spent[cause] += self.now - since
        step = next(steps, None)
        if step is None:
            return
        what, value, cause = step
        entry = steps, cause, self.now
        if what == "sleep":
            heapq.heappush(self._timers, (self.now + value, next(self._order), entry))
        elif what == "serve":
            load = value.share / value.seconds if value.seconds else 0.0
            self._asked += load
            heapq.heappush(self._served, (self._progress + value.seconds, next(self._order), load, entry))
        elif value.taken:
            value.waiting.append(entry)
            self.on_wait(1)
        else:
            value.taken = True
            self.go_on(*entry)

    def leave(self, turn: Turn) -> None:
        """Let the next one have its turn."""
        if turn.waiting:
            entry = turn.waiting.popleft()
            self.on_wait(-1)
            self.at(self.now, lambda: self.go_on(*entry))
        else:
            turn.taken = False

    def run(self, is_done: Callable[[], bool]) -> None:
        """Go on until all is done, or nobody does anything any more."""
        while not is_done() and (self._timers or self._served):
            asked = self._asked + self.background
            speed = min(1.0, 1.0 / asked) if asked > 0 else 1.0
            timer = self._timers[0][0] if self._timers else math.inf
            served = self.now + max(0.0, self._served[0][0] - self._progress) / speed if self._served else math.inf
            passed = min(timer, served) - self.now
            self.busy += min(1.0, asked) * passed
            self.saturated += passed * (asked > 1.0)
            self._progress += speed * passed
            self.now += passed
            if served <= timer:
                self._progress, _, load, entry = heapq.heappop(self._served)
                self._asked = max(0.0, self._asked - load) if self._served else 0.0
                self.go_on(*entry)
            else:
                entry = heapq.heappop(self._timers)[2]
                self.go_on(*entry) if isinstance(entry, tuple) else entry()

    def waiting_since(self) -> dict[str, float]:
        """By cause the seconds of steps that have not ended."""
        found: Counter[str] = Counter()
        entries = [each[2] for each in self._timers if isinstance(each[2], tuple)]
        entries += [each[3] for each in self._served] + [entry for turn in self.turns for entry in turn.waiting]
        for _, cause, since in entries:
            found[cause] += self.now - since
        return found
