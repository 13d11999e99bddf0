"""A job in child processes that are killed at their n-th file event, n growing, until one ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from nursery import forked

from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import FitConfig, SurveyConfig, TrainConfig

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate"}
GROWTH = 1.15  # opening what is there costs events, too: a fixed number could stand still
MOST = 60


def kill_at(events: int, folder: Path) -> None:
    """Have this process killed at so many file events in a folder from here."""
    seen = 0

    def count(event: str, args: tuple[object, ...]) -> None:
        nonlocal seen
        if event in EVENTS and str(args[0]).startswith(str(folder)):
            seen += 1
            if seen == events:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def phase(run: Path) -> str:
    if (run / "survey.zarr").exists():
        return "survey"
    return "steps" if (run / "metrics.jsonl").exists() else "start"


def fit(run: Path, config: Mapping[str, Any]) -> None:
    run_fit(FitConfig.from_flat(config), run, resume=True, checkpoint_seconds=0.0, pictures=False)


def train(run: Path, config: Mapping[str, Any]) -> None:
    run_train(TrainConfig.from_flat(config), run, resume=True, checkpoint_seconds=0.0)


def survey(run: Path, config: Mapping[str, Any]) -> None:
    run_survey(SurveyConfig.from_flat(config), run, resume=True, pictures=False)


def killed_at(verb: str, run: Path, first: int, config: Path) -> list[str]:
    """What had been reached at each kill.

    Args:
        verb: fit, survey or train.
        run: where it goes.
        first: file events that the first child lives for.
        config: of a run that is to be done again.

    Raises:
        RuntimeError: a child failed, or none ended.
    """
    options = yaml.safe_load(config.read_text())

    def child(events: int) -> None:
        kill_at(events, run.parent)
        {"fit": fit, "survey": survey, "train": train}[verb](run, options)

    reached: list[str] = []
    for attempt in range(MOST):
        _, status = os.waitpid(forked(child, int(first * GROWTH**attempt)), 0)
        if not status:
            return reached
        if not os.WIFSIGNALED(status):
            raise RuntimeError(f"a child failed with status {status}")
        reached.append(phase(run))
    raise RuntimeError("it never ended")
