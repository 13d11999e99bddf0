"""Many fits as one resumable job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lossatlas.errors import CannotFinish
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.reporter import Reporter
from lossatlas.recipes import FitConfig

__all__ = ["run_sweep"]


def run_sweep(
    configs: Mapping[str, FitConfig],
    out: Path,
    *,
    pictures: bool = False,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, dict[str, Any]]:
    """Carry out every fit, one after the other; those that are finished are not done again.

    Args:
        configs: by name, which is also the name of the run's directory.
        out: the directory of the runs.
        pictures: draw each run and write its report.
        reporter: told how things stand.
        stop: see :func:`~lossatlas.jobs.fit.run_fit`.

    Returns:
        The summaries by name.

    Raises:
        BadInput: a run that is there has other settings.
        CannotFinish: some of the fits could not be finished; all others are.
        Interrupted: ``stop`` said so.
    """
    summaries, failed = {}, []
    for index, (name, config) in enumerate(configs.items()):
        if reporter is not None:
            reporter.say(f"{name} ({index + 1} of {len(configs)})")
        try:
            summaries[name] = run_fit(config, out / name, resume=True, pictures=pictures, reporter=reporter, stop=stop)
        except CannotFinish as error:
            failed.append(f"{name} ({error})")
    if failed:
        raise CannotFinish(f"{len(failed)} of {len(configs)} fits could not be finished: {'; '.join(failed)}")
    return summaries
