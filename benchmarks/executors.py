"""What executors cost beside the work: starting, tasks that sleep, tasks that do nothing, and ending.

    python benchmarks/executors.py --tiles 24 --seconds 5 --workers 2
    python benchmarks/executors.py --survey       a real survey by one worker and by two, one thread each, in turn

The overhead is the time that all tasks take beyond that of sleeping workers which never wait for one. Tasks that do
nothing are handed out one after another, and then all at once.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from lossatlas.cli.process import settle

settle()

from rich.console import Console
from rich.table import Table

import lossatlas as la
from lossatlas.jobs.spreading import Spreading
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.pools import POOLS, Pool, PoolOptions, Task, open_pool
from lossatlas.progress import Reporter
from lossatlas.recipes import SurveyConfig, TrainConfig

LOCAL = "local"
EMPTY = 200
"""How many tasks do nothing."""


def rest(seconds: float) -> None:
    time.sleep(seconds)


def carry_out(pool: Pool, tasks: Iterable[Task]) -> float:
    """The seconds that tasks take together."""
    started, left = time.perf_counter(), 0
    for task in tasks:
        pool.submit(task)
        left += 1
    while left:
        for outcome in pool.wait(60):
            if outcome.lost or outcome.error:
                raise SystemExit(f"{outcome.task.name} failed: {outcome.lost or outcome.error}")
            left -= 1
    return time.perf_counter() - started


def make_tasks(count: int, seconds: float) -> list[Task]:
    return [Task(f"task {number}", "executors:rest", {"seconds": seconds}) for number in range(count)]


def measure(kind: str, arguments: argparse.Namespace, folder: Path) -> list[str]:
    """One row of the table."""
    started = time.perf_counter()
    with open_pool(kind, PoolOptions(arguments.workers, 1, folder)) as pool:
        ready = time.perf_counter() - started
        carry_out(pool, make_tasks(2 * arguments.workers, 0.1))  # workers of Ray prepare with their first task
        slept = carry_out(pool, make_tasks(arguments.tiles, arguments.seconds))
        one_by_one = median(carry_out(pool, [task]) for task in make_tasks(EMPTY, 0.0))
        together = carry_out(pool, make_tasks(EMPTY, 0.0)) / EMPTY
        started = time.perf_counter()
    closed = time.perf_counter() - started
    least = math.ceil(arguments.tiles / arguments.workers) * arguments.seconds
    return [
        kind, f"{ready:.1f} s", f"{slept:.2f} s of {least:.2f} s", f"{100 * (slept / least - 1):.2f} %",
        f"{1e3 * one_by_one:.2f} ms", f"{1e3 * together:.2f} ms", f"{closed:.1f} s",
    ]  # fmt: skip


def time_survey(workers: int, folder: Path, network: Path) -> float:
    """The seconds that a whole survey takes by so many workers at the rate that they have once each has done a tile."""
    config = SurveyConfig(
        checkpoint=str(network), model_options={"hidden": (512, 512)}, grid=(72, 72), tile_points=64, examples="all",
        device="cpu", plan=str(folder / "plan.json"),
    )  # fmt: skip
    watch = Watch()
    out = folder / f"by {workers}, {time.monotonic()}"
    run_survey(config, out, pictures=False, reporter=watch, spreading=Spreading(LOCAL, workers))
    (first, before), (last, after) = watch.moments[workers - 1], watch.moments[-1]
    return (last - first) / (after - before)


class Watch(Reporter):
    """When the first and all further shares of a survey were done."""

    def __init__(self) -> None:
        self.moments: list[tuple[float, float]] = []
        """Times, and the shares that were done by then."""

    def say(self, line: str) -> None:
        pass

    def progress(self, phase: str, share: float, numbers: Mapping[str, float]) -> None:
        if phase == "survey" and share > (self.moments[-1][1] if self.moments else 0.0):
            self.moments.append((time.perf_counter(), share))


def compare_surveys(folder: Path, rounds: int) -> None:
    """Print the seconds of a survey by one worker and by two, in turn, and their ratio."""
    (folder / "plan.json").write_text(json.dumps(la.Plan.of("batched", points=16).to_dict()))
    run_train(TrainConfig(model_options={"hidden": (512, 512)}, epochs=1.0, device="cpu"), folder / "net")
    ratios = []
    for _ in range(rounds):
        one, two = (time_survey(workers, folder, folder / "net") for workers in (1, 2))
        ratios.append(one / two)
        print(f"one worker {one:.1f} s, two {two:.1f} s: {one / two:.3f}", flush=True)
    print(f"median {median(ratios):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=24, help="how many tasks sleep")
    parser.add_argument("--seconds", type=float, default=5.0, help="for how long each")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--survey", action="store_true", help="compare surveys by one worker and by two instead")
    parser.add_argument("--rounds", type=int, default=3, help="of these")
    arguments = parser.parse_args()
    if arguments.survey:
        with TemporaryDirectory() as folder:
            compare_surveys(Path(folder), arguments.rounds)
        return
    table = Table("executor", "start", "sleeping tasks", "overhead", "an empty task", "one of many", "end")
    with TemporaryDirectory() as folder:
        for kind in POOLS:
            table.add_row(*measure(kind, arguments, Path(folder)))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
