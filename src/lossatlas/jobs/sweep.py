"""Sweeps: many runs as one resumable job, one after the other or spread over workers."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from lossatlas.errors import BadInput, CannotFinish
from lossatlas.free_memory import share_memory
from lossatlas.jobs.compare import run_compare
from lossatlas.jobs.connect import run_connect
from lossatlas.jobs.ensemble import run_ensemble
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.job import CHECKPOINT_SECONDS, Handling, Job
from lossatlas.jobs.pooled_runs import PooledRun, carry_out_pooled
from lossatlas.jobs.spreading import Spreading
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.pools import Pool, is_asked_to_stop
from lossatlas.progress import Silent
from lossatlas.recipes import Config
from lossatlas.recipes.opened_run import CONFIGS
from lossatlas.rundir import SUMMARY, RunDirectory

__all__ = ["JOBS", "carry_out_settings", "run_sweep"]

JOBS: tuple[Job[Any], ...] = (run_fit, run_connect, run_survey, run_train, run_compare, run_ensemble)
"""All jobs; the class of a configuration determines its job."""


Ended = Generator[tuple[str, Exception | None], None, None]
"""The names of runs that have ended, with what ended them; None where they are finished."""


def run_sweep(configs: Mapping[str, Config], how: Handling, pool: Pool | None = None) -> dict[str, dict[str, Any]]:
    """Carry out runs, each after those that it needs; finished ones are not repeated.

    Args:
        configs: the configurations by name, which is also the name of the run directory.
        how: how they are carried out; its directory is that of all runs.
        pool: the workers that carry out the runs, without pictures and reports; None does so here, one after the other.

    Returns:
        The summaries by name.

    Raises:
        BadInput: a run that is there has other settings; all runs before it are finished, or, with a pool, those that
            run have been asked to stop.
        CannotFinish: some of the runs could not be finished; all others are finished.
        Interrupted: the sweep was stopped.
    """
    failed: dict[str, Exception] = {}
    with closing(_carry_out_here(configs, how) if pool is None else _carry_out_there(configs, how, pool)) as ended:
        for name, error in ended:
            if isinstance(error, BadInput) and not failed:
                raise error
            if error is not None and not isinstance(error, CannotFinish | BadInput):
                raise error
            if error is not None:
                failed[name] = error  # also bad input: it may be a run that could not be finished
    if failed:
        told = "; ".join(f"{name} ({error})" for name, error in failed.items())
        raise CannotFinish(f"{len(failed)} of {len(configs)} runs could not be finished: {told}")
    return {name: RunDirectory(how.out / name).read_json(SUMMARY) for name in configs}


def _carry_out_here(configs: Mapping[str, Config], how: Handling) -> Ended:
    for index, (name, config) in enumerate(configs.items()):
        how.attendance.tell(name, index / len(configs))
        how.reporter.say(f"{name} ({index + 1} of {len(configs)})")
        try:
            _carry_out(config, how.out / name, how)
        except (BadInput, CannotFinish) as error:
            yield name, error
        else:
            yield name, None


def _carry_out_there(configs: Mapping[str, Config], how: Handling, pool: Pool) -> Ended:
    runs = {name: PooledRun(config, how.out / name) for name, config in configs.items()}
    with closing(carry_out_pooled(pool, runs, how, "study")) as found:
        for ended, (name, error) in enumerate(found, start=1):
            state = "is finished" if error is None else "could not be finished"
            how.reporter.say(f"{name} {state} ({ended} of {len(runs)})")
            yield name, error


def carry_out_settings(verb: str, settings: str, out: str, claims: str, sharers: int) -> None:
    """Start or resume a run, in a worker, and draw nothing.

    Args:
        verb: what makes the run.
        settings: its flat configuration, as YAML.
        out: its directory.
        claims: how writers of one run keep out of each other's way.
        sharers: how many workers share the memory of a machine.
    """
    share_memory(sharers)
    config = CONFIGS[verb].from_flat(yaml.safe_load(settings))
    how = Handling(
        Path(out), CHECKPOINT_SECONDS, pictures=False, reporter=Silent(), stop=is_asked_to_stop,
        spreading=Spreading(claims=claims),
    )  # fmt: skip
    _carry_out(config, how.out, how)


def _carry_out(config: Config, out: Path, how: Handling) -> None:
    """Start or resume the run of a configuration."""
    job = next((job for job in JOBS if isinstance(config, job.config)), None)
    assert job is not None, f"no job for a {type(config).__name__}"
    job(
        config, out, resume=True, pictures=how.pictures, reporter=how.reporter, stop=how.stop,
        spreading=how.spreading.by_itself,
    )  # fmt: skip
