"""The loop of steps of a fit or a training, with its log and its checkpoints."""

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
    """A fit or a training: steps, and a state from which they resume bit for bit."""

    @property
    def steps(self) -> int:
        """Return the number of steps that were made."""

    @property
    def progress(self) -> float:
        """Return the share of the budget that is used."""

    @property
    def done(self) -> bool:
        """Return whether all steps are done."""

    @property
    def running(self) -> Mapping[str, float]:
        """Return the running means of the reported numbers."""

    def step(self) -> dict[str, float]:
        """Make one step and return its record."""


def descend(
    run: RunDirectory,
    work: Stepped,
    phase: str,
    how: Handling,
    on_start: Callable[[], None] = lambda: None,
    on_step: Callable[[dict[str, float]], None] = lambda _: None,
) -> None:
    """Make steps until the work is done, with checkpoints; however it ends, the log and the checkpoint agree.

    Args:
        run: the run directory.
        work: the fit or training, which is restored from the run's checkpoint if there is one.
        phase: the name of the phase in reports.
        how: the handling of the job: time between checkpoints, reporter and stop function.
        on_start: called after the work was restored and before the first step.
        on_step: called with the record of each step, before a checkpoint can be written.

    Raises:
        CannotFinish: a step fails or the disk cannot be written; the message names the step of the last intact
            checkpoint.
        Interrupted: ``stop`` returned True.
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
                raise CannotFinish(f"{error}; the checkpoint of step {kept} in {run.path} is intact") from error
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
