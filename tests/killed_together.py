"""A store that two processes survey at once, each killed at random moments, until both have ended."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from killed_at import kill_at
from nursery import forked

from lossatlas.jobs.survey import run_survey
from lossatlas.recipes import SurveyConfig

LONGEST = 80
"""Moments at files that a child lives for at most, as long as there are kills to come."""


def child(run: Path, config: Mapping[str, Any], moments: int | None) -> None:
    if moments is not None:
        kill_at(moments, run.parent)
    run_survey(SurveyConfig.from_flat(config), run, resume=True, pictures=False)


def killed_together(run: Path, config: Path, kills: int, seed: int) -> int:
    """How many kills there were.

    Args:
        run: where it goes.
        config: of a survey that is to be done again.
        kills: at least so many.
        seed: of the moments.

    Raises:
        RuntimeError: a child failed.
    """
    draw, options = random.Random(seed), yaml.safe_load(config.read_text())

    def moments() -> int | None:
        return draw.randint(1, LONGEST) if killed < kills else None

    killed = 0
    alive = {forked(child, run, options, moments()) for _ in range(2)}
    while alive:
        pid, status = os.wait()
        alive.discard(pid)
        if os.WIFSIGNALED(status):
            killed += 1
            alive.add(forked(child, run, options, moments()))
        elif status:
            for other in alive:
                os.kill(other, signal.SIGKILL)
            raise RuntimeError(f"a child failed with status {status}")
    return killed
