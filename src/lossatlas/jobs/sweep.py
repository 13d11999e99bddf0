"""Many runs as one resumable job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lossatlas.errors import BadInput, CannotFinish
from lossatlas.jobs.compare import run_compare
from lossatlas.jobs.connect import run_connect
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.job import Job
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.progress import Reporter
from lossatlas.recipes import Config

__all__ = ["JOBS", "carry_out", "run_sweep"]

JOBS: tuple[Job[Any], ...] = (run_fit, run_connect, run_survey, run_train, run_compare)
"""Every job; its configurations tell which is meant."""


def run_sweep(
    configs: Mapping[str, Config],
    out: Path,
    *,
    pictures: bool = False,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, dict[str, Any]]:
    """Carry out every run, one after the other; those that are finished are not done again.

    Args:
        configs: by name, which is also the name of the run's directory.
        out: the directory of the runs.
        pictures: draw each run and write its report.
        reporter: told how things stand.
        stop: see :class:`~lossatlas.jobs.job.Job`.

    Returns:
        The summaries by name.

    Raises:
        BadInput: a run that is there has other settings, and all runs before it are finished.
        CannotFinish: some of the runs could not be finished; all others are.
        Interrupted: ``stop`` said so.
    """
    summaries, failed = {}, []
    for index, (name, config) in enumerate(configs.items()):
        if reporter is not None:
            reporter.say(f"{name} ({index + 1} of {len(configs)})")
        try:
            summaries[name] = carry_out(config, out / name, pictures=pictures, reporter=reporter, stop=stop)
        except CannotFinish as error:
            failed.append(f"{name} ({error})")
        except BadInput as error:
            if not failed:
                raise
            failed.append(f"{name} ({error})")  # it may be made of one that is not there now
    if failed:
        raise CannotFinish(f"{len(failed)} of {len(configs)} runs could not be finished: {'; '.join(failed)}")
    return summaries


def carry_out(
    config: Config, out: Path, *, pictures: bool, reporter: Reporter | None, stop: Callable[[], bool]
) -> dict[str, Any]:
    """The run that a configuration stands for, begun or continued; returns its summary."""
    job = next((job for job in JOBS if isinstance(config, job.config)), None)
    assert job is not None, f"no job for a {type(config).__name__}"
    return job(config, out, resume=True, pictures=pictures, reporter=reporter, stop=stop)
