"""The simulation of many workers, where what comes of it is known; and how requests are counted."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from scale_clock import Server
from scale_costs import Cost
from scale_memory import describe_task
from scale_model import LEASE, PART, WAYS, Result, Scenario, simulate
from scale_requests import count_requests

from lossatlas.jobs.pooled_tiles import evaluate_tile

UNITS = {
    "imports": 2.0, "opening": 0.5, "opening, a marked tile": 1e-4, "joining": 0.25, "task": 0.01, "write": 0.2,
    "claim and release": 0.1, "claim of a held tile": 0.01, "claim of a marked tile": 0.02,
    "look, nothing marked, a tile": 1e-3, "look, all marked, a tile": 2e-3,
}  # fmt: skip
COSTS = {name: Cost(seconds) for name, seconds in UNITS.items()}
NOWHERE = Server(read_rate=1e12, write_rate=1e12, read_seconds=0.0, write_seconds=0.0)
"""A file server that takes no time."""


def simulated(way: str, workers: int, tiles: int, seconds: float = 10.0, **more: Any) -> Result:
    return simulate(Scenario(way, workers, [seconds] * tiles, **{"costs": COSTS, "server": NOWHERE, **more}))


@pytest.mark.parametrize("way", WAYS)
def test_one_worker_takes_the_sum_of_what_it_does(way: str) -> None:
    tiles = 7
    each = 10.0 + UNITS["write"] + UNITS["claim and release"] + (UNITS["task"] if way == "pool" else 0.0)
    before = UNITS["imports"] + tiles * UNITS["look, nothing marked, a tile"]
    before += UNITS["joining" if way == "pool" else "opening"]
    found = simulated(way, 1, tiles)
    assert found.seconds == pytest.approx(before + tiles * each)
    assert found.efficiency == pytest.approx(70.0 / found.seconds)


@pytest.mark.parametrize("way", WAYS)
def test_without_costs_many_workers_are_as_many_times_as_fast(way: str) -> None:
    found = simulated(way, 50, 1500, costs={})
    assert found.seconds == pytest.approx(1500 / 50 * 10.0)
    assert found.efficiency == pytest.approx(1.0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("deaths", [0.0, 20.0])
def test_each_tile_is_done_once_and_all_time_is_accounted_for(way: str, deaths: float) -> None:
    found = simulated(way, 30, PART + 200, seconds=2.0, server=Server(2000.0, 1000.0), deaths=deaths)
    assert found.unfinished == 0
    assert np.array_equal(found.evaluated, np.ones(PART + 200))
    assert sum(found.spent.values()) == pytest.approx(30 * found.seconds)
    assert found.spent["tiles"] == pytest.approx((PART + 200) * 2.0)
    assert (found.lost > 0) == (deaths > 0)


def test_a_server_that_is_asked_for_more_than_it_can_do_answers_at_its_rate() -> None:
    write = Cost(writes=100.0)
    found = simulated("leases", 100, 1000, seconds=1e-6, costs={"write": write}, server=Server(write_rate=1000.0))
    assert found.seconds == pytest.approx(1000 * 100 / 1000.0)
    assert found.busy == pytest.approx(1.0)
    quick = simulated("leases", 1, 10, seconds=1.0, costs={"write": write}, server=Server(write_rate=1e9))
    assert quick.seconds == pytest.approx(10 * (1.0 + 100 * Server().write_seconds), rel=1e-4)


def test_workers_that_begin_at_one_tile_try_those_of_all_before_them() -> None:
    held = {"claim of a held tile": Cost(0.5)}
    together = simulated("locks", 20, 20, seconds=100.0, costs=held)
    assert together.seconds == pytest.approx(19 * 0.5 + 100.0)  # the last one has tried nineteen
    assert simulated("locks", 20, 20, seconds=100.0, costs=held, own_places=True).seconds < together.seconds


def test_the_head_of_a_pool_and_the_opening_of_a_store_are_one_at_a_time() -> None:
    assert simulated("pool", 100, 1000, seconds=1e-6, costs={"task": Cost(0.3)}).seconds == pytest.approx(300.0)
    opening = {"opening": Cost(2.0)}
    assert simulated("locks", 20, 20, seconds=90.0, costs=opening).seconds == pytest.approx(20 * 2.0 + 90.0)
    together = simulated("locks", 20, 20, seconds=90.0, costs=opening, serial_opening=False)
    assert together.seconds == pytest.approx(2.0 + 90.0)


def test_a_lost_workers_tile_is_free_at_once_under_locks_and_after_a_while_under_leases() -> None:
    work = {"costs": {"look, nothing marked, a tile": Cost(0.2)}, "own_places": False, "deaths": 2.0, "seed": 1}
    locks, leases = (simulated(way, 2, 1, seconds=900.0, **work) for way in ("locks", "leases"))
    assert locks.lost == leases.lost == 1
    assert locks.unfinished == leases.unfinished == 0
    assert LEASE - 2.0 < leases.seconds - locks.seconds < LEASE + 2.0


def test_requests_are_those_that_reach_files_of_the_place() -> None:
    lines = [
        '12 stat("/lossatlas-unit/claim/2", 0x7ffe) = -1 ENOENT',
        '12 openat(AT_FDCWD, "/here/a", O_RDONLY|O_CLOEXEC) = 3</here/a>',
        '12 newfstatat(3</here/a>, "", {st_mode=S_IFREG|0644}, AT_EMPTY_PATH) = 0',
        '12 read(3</here/a>, "x", 8192) = 1',
        '12 read(3</here/a>, "", 8192) = 0',
        "12 close(3</here/a>) = 0",
        '13 mkdir("/here", 0777) = -1 EEXIST (File exists)',
        '13 openat(AT_FDCWD, "/here/b", O_RDWR|O_CREAT <unfinished ...>',
        '12 openat(AT_FDCWD, "/elsewhere", O_RDONLY) = 4</elsewhere>',
        "13 <... openat resumed>, 0666) = 5</here/b>",
        "13 flock(5</here/b>, LOCK_EX|LOCK_NB) = 0",
        '13 stat("/lossatlas-unit/claim/0", 0x7ffe) = -1 ENOENT',
        '13 unlink("/here/b") = 0',
    ]
    assert count_requests(lines, "/here") == {"claim": (1.5, 1.0)}
    assert count_requests(lines[1:-2], None) == {"whole": (4.0, 2.0)}


def test_what_is_measured_is_a_task_that_workers_take(tmp_path: Path) -> None:
    bound = inspect.signature(evaluate_tile).bind(**describe_task(tmp_path))
    assert bound.arguments.keys() == inspect.signature(evaluate_tile).parameters.keys()
