"""Sweeps: many runs as one resumable job."""

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
"""All jobs; the class of a configuration determines its job."""


def run_sweep(
    configs: Mapping[str, Config],
    out: Path,
    *,
    pictures: bool = False,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, dict[str, Any]]:
    """Carry out runs one after the other; finished ones are not repeated.

    Args:
        configs: the configurations by name, which is also the name of the run directory.
        out: the directory of all runs.
        pictures: whether to draw pictures and write the report of each run.
        reporter: the reporter of the progress.
        stop: a function that is called after every step and tile; True stops the sweep.

    Returns:
        The summaries by name.

    Raises:
        BadInput: a run that is there has other settings; all runs before it are finished.
        CannotFinish: some of the runs could not be finished; all others are finished.
        Interrupted: ``stop`` returned True.
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
            failed.append(f"{name} ({error})")  # its input may be a run that could not be finished
    if failed:
        raise CannotFinish(f"{len(failed)} of {len(configs)} runs could not be finished: {'; '.join(failed)}")
    return summaries


def carry_out(
    config: Config, out: Path, *, pictures: bool, reporter: Reporter | None, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Start or resume the run of a configuration; returns its summary."""
    job = next((job for job in JOBS if isinstance(config, job.config)), None)
    assert job is not None, f"no job for a {type(config).__name__}"
    return job(config, out, resume=True, pictures=pictures, reporter=reporter, stop=stop)
