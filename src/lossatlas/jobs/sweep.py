"""Sweeps: many runs as one resumable job, one after the other or spread over workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lossatlas.errors import BadInput, CannotFinish
from lossatlas.jobs.attending import Attendance
from lossatlas.jobs.compare import run_compare
from lossatlas.jobs.connect import run_connect
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.job import Job
from lossatlas.jobs.pooled_runs import PooledRun, carry_out_pooled
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.pools import Pool, is_asked_to_stop
from lossatlas.progress import Reporter, Silent
from lossatlas.recipes import Config
from lossatlas.recipes.opened_run import CONFIGS
from lossatlas.rundir import SUMMARY, RunDirectory

__all__ = ["JOBS", "carry_out", "run_sweep"]

JOBS: tuple[Job[Any], ...] = (run_fit, run_connect, run_survey, run_train, run_compare)
"""All jobs; the class of a configuration determines its job."""


def run_sweep(
    configs: Mapping[str, Config],
    out: Path,
    *,
    pictures: bool = False,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
    attendance: Attendance | None = None,
    pool: Pool | None = None,
) -> dict[str, dict[str, Any]]:
    """Carry out runs, each after those that it needs; finished ones are not repeated.

    Args:
        configs: the configurations by name, which is also the name of the run directory.
        out: the directory of all runs.
        pictures: whether to draw pictures and write the report of each run.
        reporter: the reporter of the progress.
        stop: a function that is called after every step and tile; True stops the sweep.
        attendance: told how far the sweep is, and what each worker does.
        pool: the workers that carry out the runs, without pictures and reports; None does so here, one after the other.

    Returns:
        The summaries by name.

    Raises:
        BadInput: a run that is there has other settings; all runs before it are finished.
        CannotFinish: some of the runs could not be finished; all others are finished.
        Interrupted: ``stop`` returned True.
    """
    reporter = reporter if reporter is not None else Silent()
    attendance = attendance if attendance is not None else Attendance()
    failed: dict[str, Exception] = {}
    for name, error in (
        _carry_out_here(configs, out, pictures, reporter, stop, attendance)
        if pool is None
        else _carry_out_there(configs, out, reporter, stop, attendance, pool)
    ):
        if isinstance(error, BadInput) and not failed:
            raise error
        if error is not None and not isinstance(error, CannotFinish | BadInput):
            raise error
        if error is not None:
            failed[name] = error  # also bad input: it may be a run that could not be finished
    if failed:
        told = "; ".join(f"{name} ({error})" for name, error in failed.items())
        raise CannotFinish(f"{len(failed)} of {len(configs)} runs could not be finished: {told}")
    return {name: RunDirectory(out / name).read_json(SUMMARY) for name in configs}


Ended = Iterator[tuple[str, Exception | None]]
"""The names of runs that have ended, with what ended them; None where they are finished."""


def _carry_out_here(
    configs: Mapping[str, Config],
    out: Path,
    pictures: bool,
    reporter: Reporter,
    stop: Callable[[], bool],
    attendance: Attendance,
) -> Ended:
    for index, (name, config) in enumerate(configs.items()):
        attendance.tell(name, index / len(configs))
        reporter.say(f"{name} ({index + 1} of {len(configs)})")
        try:
            carry_out(config, out / name, pictures=pictures, reporter=reporter, stop=stop)
        except (BadInput, CannotFinish) as error:
            yield name, error
        else:
            yield name, None


def _carry_out_there(
    configs: Mapping[str, Config],
    out: Path,
    reporter: Reporter,
    stop: Callable[[], bool],
    attendance: Attendance,
    pool: Pool,
) -> Ended:
    runs = {name: PooledRun(config, out / name) for name, config in configs.items()}
    for ended, (name, error) in enumerate(
        carry_out_pooled(pool, runs, reporter=reporter, phase="study", stop=stop, attendance=attendance), start=1
    ):
        reporter.say(f"{name} {'is finished' if error is None else 'could not be finished'} ({ended} of {len(runs)})")
        yield name, error


def carry_out(
    config: Config, out: Path, *, pictures: bool, reporter: Reporter | None, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Start or resume the run of a configuration; returns its summary."""
    job = next((job for job in JOBS if isinstance(config, job.config)), None)
    assert job is not None, f"no job for a {type(config).__name__}"
    return job(config, out, resume=True, pictures=pictures, reporter=reporter, stop=stop)


def carry_out_settings(verb: str, settings: str, out: str) -> None:
    """Start or resume a run, in a worker, and draw nothing.

    Args:
        verb: what makes the run.
        settings: its flat configuration, as YAML.
        out: its directory.
    """
    config = CONFIGS[verb].from_flat(yaml.safe_load(settings))
    carry_out(config, Path(out), pictures=False, reporter=None, stop=is_asked_to_stop)
