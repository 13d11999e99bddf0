"""What makes a run of single steps: the loop with its log and its checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from lossatlas.errors import CannotFinish, Interrupted
from lossatlas.jobs.checkpoint import Stored, restore_checkpoint, write_checkpoint
from lossatlas.jobs.job import Handling
from lossatlas.jobs.log import MetricsLog
from lossatlas.rundir import LOG, RunDirectory

__all__ = ["Stepped", "descend"]


class Stepped(Stored, Protocol):
    """A fit or a training: steps, and a state that they are continued from bit for bit."""

    steps: int

    @property
    def progress(self) -> float:
        """The share of the budget that is used."""

    @property
    def done(self) -> bool:
        """Whether there is no further step."""

    @property
    def running(self) -> Mapping[str, float]:
        """How things stand."""

    def step(self) -> dict[str, float]:
        """One step; returns the line of the log."""


def descend(
    run: RunDirectory,
    work: Stepped,
    phase: str,
    how: Handling,
    on_start: Callable[[], None] = lambda: None,
    on_step: Callable[[dict[str, float]], None] = lambda _: None,
) -> None:
    """Step until the work is done, with checkpoints; whatever ends it, the log and the checkpoint agree.

    Args:
        run: the run directory.
        work: continued where the run's checkpoint has it.
        phase: what the reporter calls it.
        how: often checkpoints are written, who is told, and when to stop, with a checkpoint.
        on_start: called once the work stands where it goes on from.
        on_step: called with each step's record before a checkpoint can be written.

    Raises:
        CannotFinish: a step that cannot be made, or a disk that refuses; says which step's checkpoint is whole.
        Interrupted: ``stop`` said so.
    """
    length = restore_checkpoint(run, work)
    on_start()
    with MetricsLog(run.path / LOG, length).open() as log:
        if not length:
            write_checkpoint(run, work, log.sync())
        kept, written = work.steps, time.perf_counter()
        while not work.done:
            run.check_there()
            try:
                record = work.step()
            except CannotFinish as error:
                raise CannotFinish(f"{error}; the checkpoint of step {kept} in {run.path} is whole") from error
            log.append(record)
            on_step(record)
            how.reporter.progress(phase, min(work.progress, 1.0), work.running)
            if how.stop():
                write_checkpoint(run, work, log.sync())
                raise Interrupted(f"interrupted at step {work.steps}; continue with --out {run.path} --resume")
            if time.perf_counter() - written > how.checkpoint_seconds:
                write_checkpoint(run, work, log.sync())
                kept, written = work.steps, time.perf_counter()
        write_checkpoint(run, work, log.sync())
        how.reporter.progress(phase, 1.0, work.running)
