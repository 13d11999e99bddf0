"""Progress in a notebook: one line that is updated, of IPython alone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from types import TracebackType
from typing import Any

from lossatlas.describing import describe_numbers
from lossatlas.errors import escape_unprintable
from lossatlas.progress.pace import REDRAW_SECONDS, Pace
from lossatlas.progress.reporter import Reporter

__all__ = ["NotebookReporter"]


@dataclass(frozen=True)
class _Line:
    """What is displayed: a bar with its text, or the text where there is no HTML."""

    phase: str
    share: float
    text: str

    def __repr__(self) -> str:
        return f"{self.phase} {self.share:.0%} {self.text}".rstrip()

    def _repr_html_(self) -> str:
        phase, text = escape(self.phase), escape(self.text)
        bar = f'<progress max="1" value="{self.share:.3f}" aria-label="{phase}"></progress>'
        return f"<div>{phase} {bar} {self.share:.0%} {text}</div>"


class NotebookReporter(Reporter):
    """Shows the present phase in one line of the cell's output, and in the end how long all took.

    Args:
        started: when the call began, in seconds of ``time.perf_counter``.
    """

    def __init__(self, started: float) -> None:
        self._started = started
        self._handle: Any = None
        self._phase = ""
        self._pace = Pace(started, 0.0)
        self._drawn = 0.0

    def __enter__(self) -> NotebookReporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None and error is None:
            self._show(_Line("done", 1.0, f"in {time.perf_counter() - self._started:.0f} s"))

    def say(self, line: str) -> None:
        print(escape_unprintable(line))

    def progress(self, phase: str, share: float, numbers: Mapping[str, float]) -> None:
        now, phase = time.perf_counter(), escape_unprintable(phase)
        if phase != self._phase or share < self._pace.first:
            # What is shown first has been under way since the call began, which is some seconds ago.
            self._pace = Pace(now, share) if self._phase else Pace(self._started, 0.0)
            self._phase = phase
        elif now - self._drawn < REDRAW_SECONDS and share < 1:
            return
        self._drawn = now
        said = filter(None, (self._pace.describe_left(now, share), describe_numbers(numbers)))
        self._show(_Line(self._phase, share, ", ".join(said)))

    def _show(self, line: _Line) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(line, display_id=True)
        else:
            self._handle.update(line)
