"""Run a job in child processes that are killed at their n-th file event, n growing, until one ends.

Usage: python killed_at.py VERB RUN FIRST CONFIG.yaml; prints what had been reached at each kill.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401
import torch._dynamo  # noqa: F401 (both of these in the parent, instead of in every child)
import yaml

from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import FitConfig, SurveyConfig, TrainConfig

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate"}
GROWTH = 1.15  # opening what is there costs events, too: a fixed number could stand still
MOST = 60


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


def child(verb: str, run: Path, config: Mapping[str, Any], events: int) -> None:
    seen = 0

    def kill_at(event: str, args: tuple[object, ...]) -> None:
        nonlocal seen
        if event in EVENTS and str(args[0]).startswith(str(run.parent)):
            seen += 1
            if seen == events:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill_at)
    {"fit": fit, "survey": survey, "train": train}[verb](run, config)


def main() -> None:
    verb, run, first = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    config = yaml.safe_load(Path(sys.argv[4]).read_text())
    # Nothing has computed yet, so there are no threads that a fork would lose.
    for attempt in range(MOST):
        if not (pid := os.fork()):
            child(verb, run, config, int(first * GROWTH**attempt))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if not status:
            return
        if not os.WIFSIGNALED(status):
            sys.exit(f"a child failed with status {status}")
        print(phase(run), flush=True)
    sys.exit("it never ended")


if __name__ == "__main__":
    main()
