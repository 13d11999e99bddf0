"""The interface of jobs: how they are started, reported on and stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from lossatlas.data import Dataset
from lossatlas.errors import BadInput, CannotFinish, Interrupted, ModelFailure, tell_raised
from lossatlas.jobs.attending import Attendance
from lossatlas.jobs.estimate import Estimate
from lossatlas.jobs.forecast import LONG, Forecast, Phase
from lossatlas.jobs.pooled_tiles import PooledTiles
from lossatlas.jobs.reporter import Patient
from lossatlas.jobs.spreading import NOWHERE, Spreading
from lossatlas.jobs.starting import Start
from lossatlas.pools import Pool
from lossatlas.presence import Failure, sweep_records
from lossatlas.problem import Problem
from lossatlas.progress import Reporter, Silent, count_towards
from lossatlas.recipes import Config
from lossatlas.rundir import SUMMARY
from lossatlas.surveying import Refinement, Surveyor, SurveyStore
from lossatlas.surveying.surveyor import TilesGivenUp
from lossatlas.surveying.tile_source import MOST_LOSSES

__all__ = ["CHECKPOINT_SECONDS", "Handling", "Job"]

C = TypeVar("C", bound=Config)
CHECKPOINT_SECONDS = 10.0
"""The seconds between checkpoints of a fit or a training unless something else is asked for."""
NOTHING: Mapping[str, float] = {}


@dataclass(frozen=True)
class Handling:
    """How a run is carried out; none of this changes its result."""

    out: Path
    """The run directory."""
    checkpoint_seconds: float
    """The seconds between checkpoints of a fit or a training."""
    pictures: bool
    """Whether to draw pictures and write the report, if the job has any."""
    reporter: Reporter
    """The reporter of the progress."""
    stop: Callable[[], bool]
    """A function that is called after every step and tile; True stops the job."""
    spreading: Spreading = NOWHERE
    """Over which workers the work is spread."""
    attendance: Attendance = field(default_factory=Attendance)
    """What others are told of the job while it works."""

    def tell(self, phase: str, share: float, numbers: Mapping[str, float] = NOTHING) -> None:
        """Report the progress of a phase, in [0, 1].

        Raises:
            Interrupted: the job is asked to stop; it can be resumed from what is stored.
        """
        self.reporter.progress(phase, share, numbers)
        self.attendance.tell(phase, share)
        if self.stop():
            raise Interrupted(f"interrupted in the {phase}; continue with --out {self.out} --resume")

    def introduce(self, problem: Problem, data: Dataset, *more: str) -> None:
        """Report what the run is about to do, one line each: notes on the data, the loss, and ``more``."""
        for line in (*data.notes, f"loss: {problem.loss.record}", *more):
            self.reporter.say(line)

    def foretell(self, phases: Callable[[], Iterable[Phase]], shared: str = "", pool: Pool | None = None) -> None:
        """Report the expected time in one line, if it is more than a minute.

        Args:
            phases: finds the phases to come; not called if the reporter does not listen.
            shared: the phase that the workers of a pool share.
            pool: these workers, if there are any.
        """
        if not self.reporter.listens:
            return
        forecast = Forecast(list(phases())).share(shared, 1 if pool is None else pool.count)
        if forecast.seconds > LONG:
            self.reporter.say(forecast.line())

    def fill(
        self,
        surveyor: Surveyor,
        store: SurveyStore,
        phase: str,
        refinement: Refinement | None = None,
        pool: Pool | None = None,
    ) -> None:
        """Fill the store of the run's survey, and report the progress and what was given up.

        Args:
            surveyor: what evaluates points.
            store: what is filled.
            phase: what the progress is called.
            refinement: of the store's grid; None evaluates all of it.
            pool: the workers that evaluate tiles; None does so here.
        """
        total = int(np.prod(store.shape)) * surveyor.evaluations
        tell = count_towards(partial(self.tell, phase), total)

        def on_points(count: int) -> None:
            self.attendance.count_points(count)
            tell(count)

        executor = None
        if pool is not None:
            sharers = self.spreading.count_sharers(surveyor.engine.network.device)
            executor = PooledTiles(pool, self.out, surveyor, self.reporter.say, self.attendance, sharers)
        self.attendance.forget_failures()
        try:
            surveyor.fill(store, executor, refinement=refinement, on_points=on_points)
        except TilesGivenUp as error:
            for tile in error.tiles:
                failure = Failure(
                    tile.reason, split=tile.split, group=tile.group, coords=tile.coords, times=MOST_LOSSES
                )
                self.attendance.note_failure(failure)
            raise
        except (BadInput, CannotFinish) as error:
            self.attendance.note_failure(Failure(str(error)))
            raise


@dataclass(frozen=True)
class Job(Generic[C]):
    """A job, which turns a configuration and a directory into a finished run.

    Attributes:
        config: The class of its configurations.
        carry_out: Carries out a run that is started or resumed; returns the summary.
        estimate: Estimates the cost of a run and writes nothing; refuses what the run itself would refuse.
        together: Whether several processes may work on one run.
        reread: Reads what a finished run at a path holds, and raises :class:`BadInput` where it is missing or damaged;
            None where nothing is read.
    """

    config: type[C]
    carry_out: Callable[[Start[C], Handling], dict[str, Any]]
    estimate: Callable[[C], Estimate]
    together: bool = False
    reread: Callable[[Path], object] | None = None

    def __call__(
        self,
        config: C,
        out: Path,
        *,
        resume: bool = False,
        overwrite: bool = False,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        pictures: bool = True,
        reporter: Reporter | None = None,
        stop: Callable[[], bool] = lambda: False,
        spreading: Spreading = NOWHERE,
    ) -> dict[str, Any]:
        """Start or resume a run, and carry it out to its end.

        Args:
            config: the configuration, on which alone the result depends.
            out: the run directory.
            resume: resume a run that is there, or start one if there is none. Other processes may work on the same
                survey, and a finished survey gets the metrics, splits and points that the configuration adds.
            overwrite: replace a lossatlas run that is there.
            checkpoint_seconds: seconds between checkpoints of a fit or a training; surveys are stored tile by tile.
            pictures: whether to draw pictures and write the report, if the job has any.
            reporter: the reporter of the progress.
            stop: a function that is called after every step and tile; True writes a checkpoint and stops the job.
            spreading: over which workers the work is spread, if the job can be.

        Returns:
            The summary.

        Raises:
            BadInput: the configuration is refused before any output is computed or written, or another process writes
                the run.
            CannotFinish: a number is not finite, the target gap is not reached, or the disk cannot be written; what is
                stored is intact.
            Interrupted: ``stop`` returned True.
        """
        if not 0 <= checkpoint_seconds < math.inf:
            raise BadInput(f"{checkpoint_seconds} is not a value for checkpoint_seconds; expected 0 or more")
        with closing(
            Start(config, out, resume=resume, overwrite=overwrite, together=self.together, claims=spreading.claims)
        ) as start:
            if start.finished:
                sweep_records(start.run.path)
                summary = start.run.read_json(SUMMARY)
                if self.reread is not None:
                    self._check_finished(start)
                if reporter is not None:
                    reporter.say(f"{start.run.path} is finished")
                return summary
            patient = Patient(reporter if reporter is not None else Silent())
            try:
                with Attendance(
                    start.run.path, "" if spreading.is_alone else spreading.executor, patient
                ) as attendance:
                    how = Handling(start.run.path, checkpoint_seconds, pictures, patient, stop, spreading, attendance)
                    summary = self._carried_out(start, how)
            except (CannotFinish, Interrupted):
                patient.release()
                raise
            except BadInput as error:
                if not patient.began:
                    raise
                raise _kept(error, start) from error
            patient.release()
            sweep_records(start.run.path)  # of processes that were killed in the meantime
            return summary

    def _check_finished(self, start: Start[C]) -> None:
        """Refuse to call a run finished whose results are missing or damaged."""
        assert self.reread is not None
        try:
            self.reread(start.run.path)
        except BadInput as error:
            raise BadInput(
                f"{start.run.path} was finished, and {error}; carry it out again with --overwrite"
            ) from error

    def _carried_out(self, start: Start[C], how: Handling) -> dict[str, Any]:
        try:
            return self.carry_out(start, how)
        except ModelFailure as error:
            if not start.placed:
                raise
            raise _kept(error, start) from error
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:  # a user's code that ends the process
            raise (CannotFinish if start.placed else BadInput)(tell_raised(error)) from error


def _kept(error: BadInput, start: Start[C]) -> CannotFinish:
    """Return the error for bad input that is found after the work started."""
    return CannotFinish(f"{error}; what was computed before is kept in {start.run.path}")
