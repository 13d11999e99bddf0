"""What the units of shared work cost: claims, marks, writes, starts; in seconds here, and in requests to a file server.

All is measured with the real code, on a real store whose first tile another process holds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
from scale_requests import mark, trace

from lossatlas.errors import Interrupted
from lossatlas.locks.heartbeats import Heart
from lossatlas.pools import PoolOptions, Task, open_pool
from lossatlas.presence import Presence
from lossatlas.presence.records import WORKERS, read_records
from lossatlas.rundir import PROVENANCE
from lossatlas.schema import Quantity
from lossatlas.surveying import SurveyStore
from lossatlas.surveying.arrays import TILED
from lossatlas.surveying.tile_source import Work

__all__ = ["KINDS", "Cost", "measure_imports", "measure_joining", "measure_store", "measure_task"]

KINDS = ("locks", "leases")
SIDE = 16
"""Tiles along each of the two axes of the store that is measured."""
TILE = 4
"""Points along each side of a tile."""
REPEATS, FEW = 40, 7
OTHERS = 64
"""Processes that say that they work on the run."""
GROUP = "test", "streaming"


@dataclass(frozen=True)
class Cost:
    """What a unit takes.

    Attributes:
        seconds: Measured here, the median.
        low: The lower quartile.
        high: The upper quartile.
        reads: Requests that change nothing.
        writes: Requests that do.
    """

    seconds: float = 0.0
    low: float = 0.0
    high: float = 0.0
    reads: float = 0.0
    writes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def __mul__(self, times: float) -> Cost:
        return Cost(*(times * getattr(self, name) for name in self.__dataclass_fields__))


Meter = Callable[[str, Callable[[int], object], int], None]
"""Takes the name of a unit, a function that does it once, and how many times it is done."""


def measure_store(kind: str, folder: Path) -> dict[str, Cost]:
    """Measure the units of a store that several processes write.

    Args:
        kind: ``locks`` or ``leases``.
        folder: where the store is made; it decides the file system.
    """
    found = _measure(lambda meter, place: _use_store(meter, kind, place), ["store", kind], folder)
    tiles = SIDE**2
    for name in ("look, nothing marked", "look, all marked"):
        found[f"{name}, a tile"] = found.pop(name) * (1 / tiles)
    found["opening, a marked tile"] = _subtract(found.pop("opening, all marked"), found["opening"]) * (1 / tiles)
    found["sign of life of another"] = found.pop("signs of life of others") * (1 / OTHERS)
    return found


def _subtract(more: Cost, less: Cost) -> Cost:
    """What one unit takes more than another one, by their medians; at least nothing."""
    seconds = max(0.0, more.seconds - less.seconds)
    return Cost(seconds, seconds, seconds, max(0.0, more.reads - less.reads), max(0.0, more.writes - less.writes))


def measure_joining(folder: Path) -> Cost:
    """Measure how a worker of a pool opens a small run."""
    return _measure(_join_run, ["run", "-"], folder)["joining"]


def measure_imports(folder: Path) -> Cost:
    """Measure the start of a process that surveys, up to where it opens anything; its requests are to all files."""
    command = ["-c", "import lossatlas.jobs.survey, lossatlas.jobs.pooled_tiles"]
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True)
        seconds.append(time.perf_counter() - begin)
    return Cost(median(seconds), min(seconds), max(seconds), *trace(command, folder, whole=True)["whole"])


def measure_task(workers: int, folder: Path, tasks: int = 300) -> Cost:
    """Measure the processor seconds of a head for a task that does nothing, while its workers always have one."""
    with open_pool("local", PoolOptions(workers=workers, threads=1, folder=folder)) as pool:
        seconds = []
        for _ in range(3):
            done, begin = 0, time.thread_time()
            for number in range(2 * workers):
                pool.submit(Task(f"{number}", f"{Path(__file__).stem}:do_nothing", {}))
            while done < tasks:
                for _outcome in pool.wait(0.1):
                    done += 1
                    if done + 2 * workers <= tasks:
                        pool.submit(Task(f"{done}", f"{Path(__file__).stem}:do_nothing", {}))
            seconds.append((time.thread_time() - begin) / tasks)
    return Cost(median(seconds), min(seconds), max(seconds))


def do_nothing() -> None:
    """Be a task."""


def _measure(use: Callable[[Meter, Path], None], traced: list[str], folder: Path) -> dict[str, Cost]:
    """Time units here, and count their requests in a process of its own."""
    timed: dict[str, list[float]] = {}

    def clock(name: str, unit: Callable[[int], object], times: int) -> None:
        for number in range(times):
            begin = time.perf_counter()
            unit(number)
            timed.setdefault(name, []).append(time.perf_counter() - begin)

    with tempfile.TemporaryDirectory(dir=folder) as place:
        use(clock, Path(place))
    counted = trace([__file__, *traced], folder)
    found = {}
    for name, seconds in timed.items():
        low, middle, high = quantiles(seconds, n=4)
        found[name] = Cost(middle, low, high, *counted.get(name, (0.0, 0.0)))
    return found


def _use_store(meter: Meter, kind: str, place: Path) -> None:
    """Have a meter measure all units of a store."""
    path = place / "survey.zarr"
    with _opened(path, kind) as store, _beside(path, kind):
        marks, tiles = _work(store).marks, list(_work(store).tiles())
        mine = tiles[1:]  # the other process has the first one
        where = np.ones((TILE, TILE), dtype=bool)
        values = {name: np.zeros(TILE * TILE) for name in ("loss", "accuracy")}

        def claim(number: int) -> None:
            held = store.tiles.hold(marks, mine[number])
            assert held is not None
            if (found := _work(store).claim(mine[number], held.release)) is not None:
                found.release()

        def open_again(_: int) -> None:
            with _opened(path, kind):
                pass

        def write(number: int) -> None:
            store.write(*GROUP, mine[number], where, values, "cpu")

        meter("claim and release", claim, REPEATS)
        meter("claim of a held tile", lambda _: store.tiles.hold(marks, tiles[0]), REPEATS)
        meter("look, nothing marked", lambda _: list(_work(store).tiles()), FEW)
        meter("opening", open_again, FEW)
        if kind == "leases":
            heart = Heart.of(path.with_name(f".{path.name}.locks") / ".leases")
            meter("heartbeat", lambda _: heart._beat(), REPEATS)
            heart.give_up()
        meter("write", write, REPEATS)
        meter("claim of a marked tile", claim, REPEATS)
        for number in range(len(mine)):
            write(number)
        meter("look, all marked", lambda _: list(_work(store).tiles()), FEW)
        meter("opening, all marked", open_again, FEW)
    (place / PROVENANCE).touch()
    presence = Presence(place)
    presence._write()
    (own,) = (place / WORKERS).iterdir()
    record = json.loads(own.read_bytes())
    for number in range(OTHERS):
        other = {**record, "host": f"node{number}"}
        (place / WORKERS / f"node{number}-{record['pid']}.json").write_text(json.dumps(other))
    meter("sign of life", lambda _: presence._write(), REPEATS)
    meter("signs of life of others", lambda _: list(read_records(place)), FEW)


def _join_run(meter: Meter, place: Path) -> None:
    """Have a meter measure how a worker opens a run that is not finished."""
    from lossatlas.jobs.pooled_tiles import _open_survey
    from lossatlas.jobs.survey import run_survey
    from lossatlas.jobs.train import run_train
    from lossatlas.recipes import SurveyConfig, TrainConfig

    small: dict[str, Any] = {"model_options": {"hidden": (8,)}, "device": "cpu"}
    run_train(TrainConfig(epochs=0.1, **small), place / "net")
    config = SurveyConfig(checkpoint=str(place / "net"), grid=(5,), plan="plain", examples="50", **small)
    with suppress(Interrupted):
        run_survey(config, place / "run", stop=lambda: True, pictures=False)
    meter("joining", lambda _: _open_survey.__wrapped__(str(place / "run"), "cpu"), FEW)


def _work(store: SurveyStore) -> Work:
    return store.work(*GROUP)


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[SurveyStore]:
    axis = np.arange(float(SIDE * TILE))
    quantities = {Quantity("loss", "loss", "nat"): None, Quantity("accuracy", "accuracy", "1"): None}
    recorded = {TILED: TILE * TILE}
    with SurveyStore(path, {"u": axis, "v": axis}, {"chart": "a chart"}, recorded=recorded, claims=kind) as store:
        store.add(*GROUP, quantities, {})
        yield store


@contextmanager
def _beside(path: Path, kind: str) -> Iterator[None]:
    """While entered, another process holds the first tile of a store."""
    command = [sys.executable, __file__, "hold", kind, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.stdin.close()


def _hold(kind: str, path: Path) -> None:
    """Hold the first tile of a store until standard input ends."""
    with _opened(path, kind) as store:
        claim = next(iter(store.tiles.claims(_work(store))))
        print("held", flush=True)
        sys.stdin.read()
        claim.release()


if __name__ == "__main__":
    what, which, where_to = sys.argv[1:]
    if what == "hold":
        _hold(which, Path(where_to))
    elif what == "store":
        _use_store(mark, which, Path(where_to))
    else:
        _join_run(mark, Path(where_to))
