"""A simulation of workers that fill one store, tile by tile.

What ``SurveyStore``, ``Work.tiles``, ``TileSource.claims``, ``executor.complete`` and ``PooledTiles`` do is done step
by step, but for this: a worker that looks for a free tile has it from when it begins to try those before it.
"""

from __future__ import annotations

import math
import random
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scale_clock import Clock, Demand, Server, Steps, Turn
from scale_costs import Cost

__all__ = ["WAYS", "Result", "Scenario", "simulate"]

WAYS = ("locks", "leases", "pool")
"""Independent commands under locks, or under leases; or one head that hands tiles to the workers of a pool."""
PART = 1024
"""Tiles whose marks are looked at together (``surveying.arrays.TILES``)."""
POLL, PATIENCE = 0.1, 4
"""As in ``surveying.executor``: between two looks of a worker that has found no free tile."""
LEASE, BEATS = 120.0, 6
"""As in ``locks.heartbeats``."""
BEAT, MOST_BEATS, SLOWEST = 5.0, 100, 100.0
"""As in ``presence``: seconds between two signs of life, and how many a second of all."""
BESIDE = "beside"
"""The cause of what threads beside the work do, which takes no worker's time."""
LONGEST = 1.0
"""Seconds between two looks at a lease that is waited for (``locks.leases``)."""


@dataclass(frozen=True)
class Scenario:
    """What is simulated.

    Attributes:
        way: One of :data:`WAYS`.
        workers: How many there are.
        tiles: The seconds of each tile.
        costs: Of units, as ``scale_costs`` measures and names them, and ``imports``, ``task`` and ``joining``.
        server: Where the store is.
        own_places: Whether each worker begins at a tile of its own; default under leases alone, as in the code.
        serial_opening: Whether a store is opened by one process at a time, as in the code.
        deaths: Workers that are lost, per worker and hour.
        starting: Seconds of each worker before it opens the store, beside its imports: reading weights.
        seed: Of places and deaths.
    """

    way: str
    workers: int
    tiles: Sequence[float]
    costs: Mapping[str, Cost] = field(default_factory=dict)
    server: Server = field(default_factory=Server)
    own_places: bool | None = None
    serial_opening: bool = True
    deaths: float = 0.0
    starting: float = 0.0
    seed: int = 0


@dataclass
class Result:
    """What came of it.

    Attributes:
        seconds: Until the last tile was marked.
        efficiency: The seconds of all tiles, of those of all workers until then.
        spent: By cause the seconds of all workers until then; ``idle`` is what is left.
        evaluated: How many times each tile was.
        busy: The share of the time that the server was busy.
        saturated: The share of the time that more was asked of it than it can do.
        started: When the last worker had its first tile, in seconds from the beginning.
        lost: Workers that were lost.
        unfinished: Tiles that nobody was left for.
    """

    seconds: float
    efficiency: float
    spent: dict[str, float]
    evaluated: np.ndarray
    busy: float
    saturated: float
    started: float
    lost: int
    unfinished: int

    @property
    def worst(self) -> str:
        """What took most of the workers' time beside tiles, and which share of it."""
        name = max((name for name in self.spent if name != "tiles"), key=lambda name: self.spent[name])
        return f"{name} {self.spent[name] / max(sum(self.spent.values()), 1e-300):.0%}"


def simulate(scenario: Scenario) -> Result:
    """Let workers fill a store."""
    return _Simulation(scenario).run()


class _Simulation:
    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.clock = Clock()
        self.draw = random.Random(scenario.seed)
        self.seconds = np.asarray(scenario.tiles, dtype=float)
        self.free = np.ones(len(self.seconds), dtype=bool)
        self.marked_at = np.full(len(self.seconds), math.inf)
        self.evaluated = np.zeros(len(self.seconds), dtype=int)
        self.left = self.untaken = len(self.seconds)
        self.lost = 0
        self.started = 0.0
        self.structure, self.head = self.clock.turns = [Turn(), Turn()]
        self.present = 0
        self.units = {name: scenario.server.demand(cost) for name, cost in scenario.costs.items()}
        own = scenario.own_places
        self.own_places = own if own is not None else scenario.way == "leases"

    def run(self) -> Result:
        clock, scenario = self.clock, self.scenario
        beats = 1 if scenario.way == "pool" else scenario.workers
        if scenario.way != "locks" and (beat := self._unit("heartbeat")).share:
            clock.background += beats * beat.share * BEATS / LEASE
        if scenario.way == "leases":  # those that wait for the structure ask for it again and again
            asking = self._unit("claim of a held tile").share / (0.75 * LONGEST)

            def wait(change: int) -> None:
                clock.background = max(0.0, clock.background + change * asking)

            clock.on_wait = wait
        tasks = self._hand_out() if scenario.way == "pool" else None
        for _ in range(scenario.workers):
            clock.begin(self._serve_head(tasks) if tasks is not None else self._work_alone())
        clock.run(lambda: self.left == 0)
        spent = Counter(clock.spent)
        spent.update(clock.waiting_since())
        spent.pop(BESIDE, None)
        whole = scenario.workers * clock.now
        done = float(self.seconds[np.isfinite(self.marked_at)].sum())
        spent["idle"] += max(0.0, whole - sum(spent.values()))
        return Result(
            clock.now, done / whole if whole else 1.0, dict(spent), self.evaluated, clock.busy / (clock.now or 1.0),
            clock.saturated / (clock.now or 1.0), self.started, self.lost, self.left,
        )  # fmt: skip

    def _unit(self, name: str) -> Demand:
        return self.units.get(name, Demand())

    def _work_alone(self) -> Steps:
        """One of any number of the same command."""
        clock = self.clock
        dies = self._draw_death()
        yield "serve", self._unit("imports"), "starting"
        yield "sleep", self.scenario.starting, "starting"
        clock.begin(self._show_life())
        yield from self._open()
        begin, first = self.draw.random() if self.own_places else 0.0, True
        finished: set[int] = set()
        while True:
            idle, began = True, clock.now
            for part in self._parts(begin):
                if int(part.min()) // PART in finished:
                    continue
                yield "serve", self._look(part), self._unless_idle("looking")
                rest = part[self.marked_at[part] > clock.now]
                if not len(rest):
                    finished.add(int(part.min()) // PART)
                while len(rest):
                    ahead = int(self.free[rest].argmax())
                    found = bool(self.free[rest[ahead]])
                    passed, tile = (rest[:ahead], int(rest[ahead])) if found else (rest, -1)
                    rest = rest[ahead + 1 :] if found else rest[:0]
                    if found:
                        self._take(tile)
                    if len(passed):
                        cause = "trying tiles of others"
                        yield "serve", self._try(passed), cause if found else self._unless_idle(cause)
                    if found:
                        idle = False
                        yield "serve", self._unit("claim and release"), "claiming"
                        self.started, first = clock.now if first else self.started, False
                        yield from self._evaluate(tile, dies)
                        if clock.now >= dies:
                            return
            if idle:
                yield "sleep", max(POLL, PATIENCE * (clock.now - began)), "idle"

    def _open(self) -> Steps:
        """Open the store, while nobody else does."""
        opening, marked = self._unit("opening"), self._unit("opening, a marked tile")
        if not self.scenario.serial_opening:
            yield "serve", opening + marked * (len(self.seconds) - self.left), "opening"
            return
        yield "turn", self.structure, "waiting to open"
        if self.scenario.way == "leases" and self.structure.waiting:
            yield "sleep", self.draw.uniform(0.5, 1.0) * LONGEST / len(self.structure.waiting), "waiting to open"
        yield "serve", opening + marked * (len(self.seconds) - self.left), "opening"
        self.clock.leave(self.structure)

    def _show_life(self) -> Steps:
        """What a thread of its own does beside the work: read whom else there is, and write again and again."""
        others, self.present = self.present, self.present + 1
        pause = min(max(BEAT, others / MOST_BEATS), SLOWEST)
        self.clock.background += self._unit("sign of life").share / pause
        yield "serve", self._unit("sign of life of another") * others, BESIDE

    def _parts(self, begin: float) -> list[np.ndarray]:
        """The tiles in parts, from a share of the grid on."""
        tiles = np.arange(len(self.seconds))
        parts = [tiles[first : first + PART] for first in range(0, len(tiles), PART)]
        first, within = divmod(begin * len(parts), 1)
        turned = parts[int(first) :] + parts[: int(first)]
        return [np.roll(part, -int(within * len(part))) for part in turned]

    def _look(self, part: np.ndarray) -> Demand:
        marked = int((self.marked_at[part] <= self.clock.now).sum())
        nothing, all_of_it = self._unit("look, nothing marked, a tile"), self._unit("look, all marked, a tile")
        return nothing * (len(part) - marked) + all_of_it * marked

    def _try(self, passed: np.ndarray) -> Demand:
        """Ask for tiles that others have, or have marked since this worker looked."""
        marked = int((self.marked_at[passed] <= self.clock.now).sum())
        held = self._unit("claim of a held tile") * (len(passed) - marked)
        return held + self._unit("claim of a marked tile") * marked

    def _evaluate(self, tile: int, dies: float) -> Steps:
        """Evaluate a tile and write it, unless the worker is lost over it."""
        clock, seconds = self.clock, float(self.seconds[tile])
        if clock.now + seconds > dies:
            yield "sleep", max(0.0, dies - clock.now), "lost with workers"
            self.lost += 1
            expiry = LEASE if self.scenario.way == "leases" else 0.0
            clock.at(clock.now + expiry, lambda: self._let_go(tile))
            return
        yield "sleep", seconds, "tiles"
        yield "serve", self._unit("write"), "writing"
        self.evaluated[tile] += 1
        self.marked_at[tile] = clock.now
        self.left -= 1

    def _take(self, tile: int) -> None:
        self.free[tile] = False
        self.untaken -= 1

    def _let_go(self, tile: int) -> None:
        self.free[tile] = True
        self.untaken += 1

    def _unless_idle(self, cause: str) -> str:
        """A cause, unless there is nothing to be found: then what a worker does is idle."""
        return cause if self.untaken else "idle"

    def _draw_death(self) -> float:
        rate = self.scenario.deaths / 3600
        return self.clock.now + self.draw.expovariate(rate) if rate else math.inf

    def _hand_out(self) -> deque[int]:
        return deque(range(len(self.seconds)))

    def _serve_head(self, tasks: deque[int]) -> Steps:
        """A worker of a pool, with what its head does for it; one that is lost is started again."""
        clock = self.clock
        while True:
            dies = self._draw_death()
            yield "serve", self._unit("imports"), "starting"
            yield "sleep", self.scenario.starting, "starting"
            first = True
            while tasks:
                tile = tasks.popleft()
                yield "turn", self.head, "waiting for the head"
                work = self._unit("task") + self._unit("claim and release")
                if tile % PART == 0:
                    work += self._look(np.arange(tile, min(tile + PART, len(self.seconds))))
                yield "serve", work, "waiting for the head"
                clock.leave(self.head)
                if first:
                    yield "serve", self._unit("joining"), "opening"
                    self.started, first = clock.now, False
                yield from self._evaluate(tile, dies)
                if clock.now >= dies:
                    tasks.appendleft(tile)
                    break
            else:
                return
