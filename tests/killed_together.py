"""Survey one store with two processes at once, each killed at random moments, until both have ended.

Usage: python killed_together.py RUN CONFIG.yaml KILLS SEED; prints how many kills there were.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401
import torch._dynamo  # noqa: F401 (both of these in the parent, instead of in every child)
import yaml
from killed_at import EVENTS

from lossatlas.jobs.survey import run_survey
from lossatlas.recipes import SurveyConfig

LONGEST = 150
"""File events that a child lives for at most, as long as there are kills to come."""


def child(run: Path, config: Mapping[str, Any], events: int | None) -> None:
    seen = 0

    def kill_at(event: str, args: tuple[object, ...]) -> None:
        nonlocal seen
        if event in EVENTS and str(args[0]).startswith(str(run.parent)):
            seen += 1
            if seen == events:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill_at)
    run_survey(SurveyConfig.from_flat(config), run, resume=True, pictures=False)


def started(run: Path, config: Mapping[str, Any], events: int | None) -> int:
    if pid := os.fork():
        return pid
    child(run, config, events)
    os._exit(0)


def main() -> None:
    run, kills, draw = Path(sys.argv[1]), int(sys.argv[3]), random.Random(int(sys.argv[4]))
    config = yaml.safe_load(Path(sys.argv[2]).read_text())

    def events() -> int | None:
        return draw.randint(1, LONGEST) if killed < kills else None

    killed = 0
    alive: set[int] = set()
    for _ in range(2):
        alive.add(started(run, config, events()))
    while alive:
        pid, status = os.wait()
        alive.discard(pid)
        if os.WIFSIGNALED(status):
            killed += 1
            alive.add(started(run, config, events()))
        elif status:
            for other in alive:
                os.kill(other, signal.SIGKILL)
            sys.exit(f"a child failed with status {status}")
    print(killed)


if __name__ == "__main__":
    main()
