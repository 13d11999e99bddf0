"""The tiles of a survey, evaluated by the workers of a pool.

The command that a user starts is the *head*. It claims tiles, has each evaluated by a worker, and claims the next one;
workers open the run from its own record and write into its store. What is lost with a worker is the tile that it had,
which another one evaluates.
"""

from __future__ import annotations

import secrets
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lossatlas.describing import count_things
from lossatlas.errors import Caution, locate_error
from lossatlas.files.reading import resolve_path
from lossatlas.free_memory import share_memory
from lossatlas.jobs.attending import Attendance
from lossatlas.jobs.joined_survey import join_survey
from lossatlas.jobs.spreading import POLL
from lossatlas.pools import Outcome, Pool, Task
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.surveying import Surveyor, SurveyStore
from lossatlas.surveying.executor import Executor
from lossatlas.surveying.tile_source import MOST_LOSSES, Claim

__all__ = ["PooledTiles", "evaluate_tile"]


class PooledTiles(Executor):
    """Has tiles evaluated by the workers of a pool, as many at once as it has workers.

    A tile whose worker is lost is evaluated by another one, three times at most; then it is given up.

    Args:
        pool: the workers.
        directory: the run directory, from which they open the survey.
        surveyor: that of the head, which tells in the end what is less exact than was asked for.
        say: told in one line of each worker that was lost.
        attendance: told what each worker does.
        sharers: how many workers share the memory of a device.
    """

    def __init__(
        self,
        pool: Pool,
        directory: Path,
        surveyor: Surveyor,
        say: Callable[[str], None],
        attendance: Attendance,
        sharers: int = 1,
    ) -> None:
        self._attendance = attendance
        self._sharers = sharers
        self._pool = pool
        self._directory = resolve_path(directory)
        self._surveyor = surveyor
        self._say = say
        self._losses: Counter[str] = Counter()
        self._session = secrets.token_hex(8)

    def run(self, evaluate: Callable[[Claim], int], claims: Iterator[Claim]) -> Generator[int, None, None]:
        """Have workers evaluate claims; what ``evaluate`` would do here, they do there."""
        held: dict[str, Claim] = {}
        try:
            while True:
                while len(held) < self._pool.count and (claim := next(claims, None)) is not None:
                    task = self._describe(claim)
                    held[_identify(task)] = claim
                    self._pool.submit(task)
                if not held:
                    return
                self._attendance.note_workers(self._pool)
                outcomes = self._pool.wait(POLL)
                if not outcomes:
                    yield 0  # so that whoever wants the run to stop is asked
                for outcome in outcomes:
                    if _identify(outcome.task) in held and (count := self._conclude(outcome, held)):
                        yield count
        finally:
            if held:  # it was interrupted: nobody is to write a tile that others may have
                self._pool.close()
            for claim in held.values():
                claim.release()

    def _describe(self, claim: Claim) -> Task:
        missing = None if claim.missing.all() else np.flatnonzero(claim.missing).tolist()
        arguments = {
            "run": str(self._directory),
            "session": self._session,
            "device": str(self._surveyor.engine.network.device),
            "sharers": self._sharers,
            "marks": claim.work.marks,
            "tile": [[side.start, side.stop] for side in claim.tile],
            "missing": missing,
        }
        return Task(claim.work.tell(claim.tile), "lossatlas.jobs.pooled_tiles:evaluate_tile", arguments)

    def _conclude(self, outcome: Outcome, held: dict[str, Claim]) -> int:
        """Release the tile of a task that has ended, or have it evaluated once more; returns the points done."""
        name, key = outcome.task.name, _identify(outcome.task)
        self._attendance.note_outcome(outcome, outcome.value["points"] if outcome.value else 0)
        for caution in outcome.cautions:
            warnings.warn(caution, Caution, stacklevel=2)
        if outcome.error is not None:
            raise locate_error(outcome.error, f"a worker, at {name}")
        if not outcome.lost:
            for counted in outcome.value["unresolved"]:
                self._surveyor.count_unresolved(*counted)
            held.pop(key).release()
            return int(outcome.value["points"])
        self._losses[key] += 1
        who = outcome.worker.name if outcome.worker is not None else "a worker"
        if (times := self._losses[key] + held[key].losses) < MOST_LOSSES:
            self._say(f"{who} was lost ({outcome.lost}); its tile, {name}, is evaluated again")
            self._pool.submit(outcome.task)
            return 0
        held.pop(key).give_up(f"{count_things(times, 'worker')} were lost over it, the last one {outcome.lost}")
        self._say(f"{who} was lost ({outcome.lost}); its tile, {name}, is given up")
        return 0


def _identify(task: Task) -> str:
    """What tells the tile of a task from all others; coordinates in words may be the same for neighbours."""
    return f"{task.arguments['marks']} {task.arguments['tile']}"


def evaluate_tile(
    run: str, session: str, device: str, sharers: int, marks: str, tile: list[list[int]], missing: list[int] | None
) -> dict[str, Any]:
    """Evaluate a tile that the head has claimed, in a worker.

    Args:
        run: the run directory.
        session: what tells the head's filling of the store from others: a worker that serves several opens it for each.
        device: what to compute on.
        sharers: how many workers share its memory.
        marks: the array that says which points are evaluated.
        tile: the start and the stop of each side.
        missing: the points of the tile that are missing, as numbers in the order of rows; None for all.

    Returns:
        The number of ``points``, and the ``unresolved`` ones per split and group of metrics.
    """
    share_memory(sharers)
    surveyor, store = _open_survey(run, session, device)
    torch.set_num_threads(surveyor.engine.plan.threads)  # by which values differ; the pool may have stated others
    place = tuple(slice(*side) for side in tile)
    mask = np.full([side.stop - side.start for side in place], missing is None)
    mask.reshape(-1)[missing if missing is not None else []] = True
    surveyor.take_unresolved()  # of a tile that failed
    points = surveyor.evaluate(store, Claim(store.work_of(marks), place, mask))
    return {"points": points, "unresolved": surveyor.take_unresolved()}


@lru_cache(maxsize=1)
def _open_survey(run: str, session: str, device: str) -> tuple[Surveyor, SurveyStore]:
    """The surveyor and the store of a run, opened from its own record.

    Raises:
        BadInput: data or network have changed since, or are others here.
    """
    return join_survey(OpenedRun(run, device=device))
