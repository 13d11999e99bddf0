"""Progress on a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lossatlas.describing import describe_numbers
from lossatlas.errors import escape_unprintable
from lossatlas.progress.pace import REDRAW_SECONDS, Pace
from lossatlas.progress.reporter import Reporter

__all__ = ["RichReporter"]


class RichReporter(Reporter):
    """A bar per phase with the time that is left and how things stand; plain lines elsewhere."""

    def __init__(self) -> None:
        console = Console(stderr=True, force_jupyter=False)
        self._bars = Progress(
            TextColumn("{task.description:<7}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=console,
            auto_refresh=False,
        )
        self._tasks: dict[str, tuple[TaskID, Pace]] = {}
        self._drawn = 0.0

    def __enter__(self) -> RichReporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tasks:
            self._bars.refresh()
            self._bars.stop()

    def say(self, line: str) -> None:
        self._bars.console.print(escape_unprintable(line), markup=False, emoji=False, highlight=False, soft_wrap=True)

    def progress(self, phase: str, share: float, numbers: Mapping[str, float]) -> None:
        now = time.perf_counter()
        phase = escape_unprintable(phase)
        if phase in self._tasks and share < self._tasks[phase][1].first:
            self._bars.remove_task(self._tasks.pop(phase)[0])  # the next fit of a sweep
        if phase not in self._tasks:
            self._bars.start()  # not before: a run that is refused writes one line and nothing else
            task = self._bars.add_task(phase, total=1.0, left="", numbers="")
            self._tasks[phase] = (task, Pace(now, share))
        if now - self._drawn < REDRAW_SECONDS and share < 1:
            return
        self._drawn = now
        task, pace = self._tasks[phase]
        left = pace.describe_left(now, share)
        self._bars.update(task, completed=share, left=left, numbers=describe_numbers(numbers))
        self._bars.refresh()
