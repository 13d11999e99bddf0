"""What all jobs have in common: how they are asked for, begun, told of and stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from lossatlas.data import Dataset
from lossatlas.errors import BadInput, CannotFinish, Interrupted, ModelFailure, tell_raised
from lossatlas.jobs.estimate import Estimate
from lossatlas.jobs.forecast import LONG, Forecast, Phase
from lossatlas.jobs.reporter import Patient
from lossatlas.jobs.starting import Start
from lossatlas.problem import Problem
from lossatlas.progress import Reporter, Silent, count_towards
from lossatlas.recipes import Config
from lossatlas.rundir import SUMMARY
from lossatlas.surveying import Refinement, Surveyor, SurveyStore

__all__ = ["Handling", "Job"]

C = TypeVar("C", bound=Config)
NOTHING: Mapping[str, float] = {}


@dataclass(frozen=True)
class Handling:
    """How a run is carried out; nothing here changes its result."""

    out: Path
    """The run directory."""
    checkpoint_seconds: float
    """Between checkpoints of what goes step by step."""
    pictures: bool
    """Draw pictures and write the report, where the job has any."""
    reporter: Reporter
    """Told how things stand."""
    stop: Callable[[], bool]
    """Asked after every step and tile; True ends the job."""

    def tell(self, phase: str, share: float, numbers: Mapping[str, float] = NOTHING) -> None:
        """Tell how far a phase is, in [0, 1].

        Raises:
            Interrupted: the job is to end; what was kept until here is continued from.
        """
        self.reporter.progress(phase, share, numbers)
        if self.stop():
            raise Interrupted(f"interrupted in the {phase}; continue with --out {self.out} --resume")

    def introduce(self, problem: Problem, data: Dataset, *more: str) -> None:
        """Say what the run is about to do, in a line each: what became of the data, the loss, and more."""
        for line in (*data.notes, f"loss: {problem.loss.record}", *more):
            self.reporter.say(line)

    def foretell(self, phases: Callable[[], Iterable[Phase]]) -> None:
        """Say in one line what is to come, if that is more than a minute.

        Args:
            phases: finds that out; not asked where nobody listens.
        """
        if not self.reporter.listens:
            return
        forecast = Forecast(list(phases()))
        if forecast.seconds > LONG:
            self.reporter.say(forecast.line())

    def fill(self, surveyor: Surveyor, store: SurveyStore, phase: str, refinement: Refinement | None = None) -> None:
        """Fill a store with what a surveyor finds, and tell how far that is."""
        total = int(np.prod(store.shape)) * surveyor.evaluations
        surveyor.fill(store, refinement=refinement, on_points=count_towards(partial(self.tell, phase), total))


@dataclass(frozen=True)
class Job(Generic[C]):
    """A job: a configuration and a directory become a finished run.

    Attributes:
        config: the class of its configurations.
        carry_out: does it, from a run that is begun or continued; returns the summary.
        estimate: a dry run, which writes nothing; refuses what the run itself would refuse.
        together: several processes may work on one run.
    """

    config: type[C]
    carry_out: Callable[[Start[C], Handling], dict[str, Any]]
    estimate: Callable[[C], Estimate]
    together: bool = False

    def __call__(
        self,
        config: C,
        out: Path,
        *,
        resume: bool = False,
        overwrite: bool = False,
        checkpoint_seconds: float = 10.0,
        pictures: bool = True,
        reporter: Reporter | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """Begin the run or continue it, to its end.

        Args:
            config: everything that the result depends on.
            out: the run directory.
            resume: continue what is there, where others may work on it beside them; begin where nothing is; add what
                the configuration has more of, where a run can grow.
            overwrite: replace a lossatlas run that is there.
            checkpoint_seconds: between checkpoints of what goes step by step; surveys are kept tile by tile.
            pictures: draw pictures and write the report, where the job has any.
            reporter: told how things stand.
            stop: asked after every step and tile; True writes a checkpoint and ends the job.

        Returns:
            The summary.

        Raises:
            BadInput: before anything is computed or written; also where another process writes the run.
            CannotFinish: not finite, a target that is out of reach, or a disk that refuses; what was kept is whole.
            Interrupted: ``stop`` said so.
        """
        if not 0 <= checkpoint_seconds < math.inf:
            raise BadInput(f"checkpoint_seconds is {checkpoint_seconds}; expected 0 or more")
        with closing(Start(config, out, resume=resume, overwrite=overwrite, together=self.together)) as start:
            if start.finished:
                summary = start.run.read_json(SUMMARY)
                if reporter is not None:
                    reporter.say(f"{start.run.path} is finished")
                return summary
            patient = Patient(reporter if reporter is not None else Silent())
            try:
                summary = self._carried_out(start, Handling(out, checkpoint_seconds, pictures, patient, stop))
            except (CannotFinish, Interrupted):
                patient.release()
                raise
            except BadInput as error:
                if not patient.began:
                    raise
                raise _kept(error, start) from error
            patient.release()
            return summary

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
    """The error for what is found once the work has begun."""
    return CannotFinish(f"{error}; what was done until then is kept in {start.run.path}")
