"""Whole runs, carried out by the workers of a pool: those of a study, and the surveys of a comparison."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import yaml

from lossatlas.describing import count_things, join_words
from lossatlas.errors import CannotFinish, Caution, Interrupted
from lossatlas.files.reading import expand_home, resolve_path
from lossatlas.jobs.job import Handling
from lossatlas.jobs.spreading import POLL
from lossatlas.pools import Outcome, Pool, Task
from lossatlas.presence import Failure
from lossatlas.recipes import Config
from lossatlas.recipes.inputs import list_paths
from lossatlas.surveying.tile_source import MOST_LOSSES

__all__ = ["PooledRun", "carry_out_pooled"]

GRACE = 60.0
"""Seconds that runs have to write a checkpoint and stop when they are asked to."""


C = TypeVar("C", bound=Config, covariant=True)


@dataclass(frozen=True)
class PooledRun(Generic[C]):
    """A run that a worker carries out.

    Attributes:
        config: Its configuration. Runs that it names as inputs, or whose plan it takes, are carried out before it.
        out: Its directory.
    """

    config: C
    out: Path

    def needs(self, other: PooledRun[Config]) -> bool:
        """Whether an input of this run lies in the directory of another one."""
        place = resolve_path(other.out)
        named = (resolve_path(expand_home(path)) for path in list_paths(self.config.flat()))
        return any(path == place or place in path.parents for path in named)


@dataclass
class _Runs:
    """Runs on their way through a pool."""

    pool: Pool
    runs: Mapping[str, PooledRun[Config]]
    how: Handling
    needs: dict[str, set[str]] = field(init=False)
    """By the name of a run that has not been submitted yet, the runs that it waits for."""
    running: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    losses: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.needs = {
            name: {before for before, other in self.runs.items() if before != name and run.needs(other)}
            for name, run in self.runs.items()
        }

    def submit(self) -> Iterator[tuple[str, Exception | None]]:
        """Submit all runs that wait for nothing any more; yields those whose inputs could not be had."""
        for name in [name for name, needs in self.needs.items() if needs & self.failed]:
            lacking = join_words(sorted(self.needs.pop(name) & self.failed))
            self.failed.add(name)
            yield name, CannotFinish(f"it needs {lacking}, which could not be finished")
        for name in [name for name, needs in self.needs.items() if not needs]:
            del self.needs[name]
            self.running.add(name)
            self.pool.submit(self.describe(name))

    def describe(self, name: str) -> Task:
        """The task of a run. Its configuration travels as YAML, which has infinities."""
        run = self.runs[name]
        settings = yaml.safe_dump(run.config.flat())
        arguments = {
            "verb": run.config.verb,
            "settings": settings,
            "out": str(resolve_path(run.out)),
            "claims": self.how.spreading.claims,
            "sharers": self.pool.count if self.how.spreading.ray_address is None else 1,
        }
        return Task(name, "lossatlas.jobs.sweep:carry_out_settings", arguments)

    def conclude(self, outcome: Outcome) -> Iterator[tuple[str, Exception | None]]:
        """Take note of how a run went; yields it unless it is carried out once more."""
        name = outcome.task.name
        for caution in outcome.cautions:
            warnings.warn(f"{name}: {caution}", Caution, stacklevel=2)
        error = outcome.error
        if outcome.lost:
            self.losses[name] += 1
            self.how.reporter.say(f"{name}: its worker was lost ({outcome.lost})")
            if self.losses[name] < MOST_LOSSES:
                self.pool.submit(outcome.task)
                return
            times = count_things(MOST_LOSSES, "worker")
            reason = f"{times} were lost over it, the last one {outcome.lost}"
            self.how.attendance.note_failure(Failure(reason, MOST_LOSSES, run=name))
            error = CannotFinish(reason)
        self.running.discard(name)
        if error is not None:
            self.failed.add(name)
        for needs in self.needs.values():
            if error is None:
                needs.discard(name)
        yield name, error


def carry_out_pooled(
    pool: Pool, runs: Mapping[str, PooledRun[Config]], how: Handling, phase: str
) -> Generator[tuple[str, Exception | None], None, None]:
    """Carry out runs by the workers of a pool, each when those that it needs are finished; finished ones are kept.

    A run whose worker is lost is continued by another one, three times at most.

    Args:
        pool: the workers.
        runs: the runs by name.
        how: what the runs are carried out for: who is told of the progress, and asked whether to stop.
        phase: what the progress is called.

    Yields:
        The name of each run that has ended, and the error that ended it; None where it is finished.

    Raises:
        Interrupted: the workers were asked to stop.
    """
    how.attendance.forget_failures()
    under_way, ended = _Runs(pool, runs, how), 0
    try:
        while ended < len(runs):
            found = list(under_way.submit())
            how.attendance.note_workers(pool)
            for outcome in pool.wait(POLL) if not found else ():
                how.attendance.note_outcome(outcome)
                found += under_way.conclude(outcome)
            for name, error in found:
                ended += 1
                yield name, error
            try:
                how.tell(phase, ended / len(runs))
            except Interrupted:
                if ended < len(runs):
                    raise
    finally:
        if under_way.running:  # interrupted, or given up by the caller: those that run write a checkpoint first
            _stop(under_way)


def _stop(under_way: _Runs) -> None:
    """Ask all workers to stop, and wait until they have, within bounds."""
    under_way.pool.stop()
    last = time.monotonic() + GRACE
    while under_way.running and time.monotonic() < last:
        for outcome in under_way.pool.wait(POLL):
            under_way.running.discard(outcome.task.name)
        busy = {task.name for task, _ in under_way.pool.busy().values()}
        under_way.running &= busy
