"""What others are told of a job while it works: its presence in the run directory."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lossatlas.pools import Outcome, Pool
from lossatlas.presence import (
    Failure,
    Presence,
    WorkerRecord,
    check_alike,
    clear_failures,
    read_living,
    record_failure,
)
from lossatlas.progress import Reporter, Silent

__all__ = ["Attendance"]


class Attendance:
    """The presence of a job in its run, from the first time that there is something to tell until the end of the job.

    Args:
        run: the run directory, which exists when the first thing is told; None where there is nobody to tell.
        executor: how the work is spread; empty where this process does it.
        reporter: told where the run directory does not answer.
    """

    def __init__(self, run: Path | None = None, executor: str = "", reporter: Reporter | None = None) -> None:
        self._run = run
        self._device = ""
        self._executor = executor
        self._say = (reporter if reporter is not None else Silent()).say
        self._open: Presence | None = None
        self._stack = ExitStack()
        self._tiles: Counter[str] = Counter()
        self._points: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def join(self, device: str) -> None:
        """Tell that the job works on the run, beside others that run the same versions and code.

        Args:
            device: the kind of device that it computes on.

        Raises:
            BadInput: one of them runs others; the first difference is named.
        """
        self._device = device
        self._update()
        if self._run is not None:
            check_alike(self._run)

    def tell(self, phase: str, share: float) -> None:
        """Tell how far a phase is, in [0, 1]."""
        self._update(phase=phase, share=share)

    def count_points(self, points: int) -> None:
        """Count points that were evaluated."""
        self._update(points=points)

    def note_outcome(self, outcome: Outcome, points: int = 0) -> None:
        """Count what a worker has done, or that it was lost.

        Args:
            outcome: of its task.
            points: that it evaluated.
        """
        if outcome.worker is None:
            return
        if outcome.lost:
            self._lost[outcome.worker.name] += 1
        elif outcome.error is None:
            self._tiles[outcome.worker.name] += 1
            self._points[outcome.worker.name] += points

    @property
    def has_company(self) -> bool:
        """Whether other processes work on the run, as far as it is known."""
        return self._run is not None and any(not record.is_own for record in read_living(self._run))

    def note_failure(self, failure: Failure) -> None:
        """Record a tile, or a run of a study or a comparison, that was given up."""
        if self._run is not None:
            record_failure(self._run, failure)

    def forget_failures(self) -> None:
        """Forget what was given up, since it is tried again; unless others work on the run, who may have tried."""
        if self._run is not None and not self.has_company:
            clear_failures(self._run)

    def note_workers(self, pool: Pool) -> None:
        """Tell what the workers of a pool do."""
        busy, now, moment = pool.busy(), datetime.now(UTC), time.monotonic()

        def since(start: float) -> str:
            return (now - timedelta(seconds=moment - start)).isoformat(timespec="seconds")

        self._update(
            workers=[
                WorkerRecord(
                    worker.name,
                    worker.host,
                    worker.pid,
                    device=worker.device,
                    doing=busy[worker.name][0].name if worker.name in busy else "",
                    since=since(busy[worker.name][1]) if worker.name in busy else "",
                    tiles=self._tiles[worker.name],
                    points=self._points[worker.name],
                    lost=self._lost[worker.name],
                )
                for worker in pool.workers
            ]
        )

    def _update(self, **state: Any) -> None:
        """Tell how things stand, see :meth:`Presence.update`."""
        if self._run is None:
            return
        if self._open is None:
            made = Presence(self._run, executor=self._executor, device=self._device, say=self._say)
            self._open = self._stack.enter_context(made)
        self._open.update(**state)
