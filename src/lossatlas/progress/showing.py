"""When calls from Python show how far they are, and where."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from lossatlas.errors import BadInput
from lossatlas.progress.reporter import Reporter, Silent

__all__ = ["PATIENCE", "count_towards", "is_notebook", "show_progress"]

PATIENCE = 2.0
"""Seconds that a call may take before it shows how far it is."""


@contextmanager
def show_progress(wanted: bool | None = None) -> Iterator[Reporter]:
    """Who is told how far a call from Python is.

    Args:
        wanted: None shows progress after two seconds, in a notebook or where the standard error is a terminal; True
            shows it at once and everywhere, False never.

    Yields:
        The reporter. Where the call fails, what was shown last stays.

    Raises:
        BadInput: ``wanted`` is something else.
    """
    if not isinstance(wanted, bool | None):
        if not (type(wanted).__name__ == "bool_" or wanted in (0, 1)):
            raise BadInput(f"progress is {wanted!r}; expected True, False or None")
        wanted = bool(wanted)
    notebook = is_notebook()
    if wanted is False or (wanted is None and not notebook and not _is_terminal(sys.stderr)):
        yield Silent()
        return
    started = time.perf_counter()
    with ExitStack() as stack:
        yield _Late(lambda: stack.enter_context(_make_reporter(notebook, started)), started + PATIENCE * (not wanted))


def count_towards(tell: Callable[[float], None], total: int) -> Callable[[int], None]:
    """A function that is told how many more of ``total`` things are done, and tells which share of all that makes."""
    finished = 0

    def add(count: int) -> None:
        nonlocal finished
        finished += count
        tell(min(finished / total, 1.0))

    return add


class _Late(Reporter):
    """Shows nothing until a time of ``time.perf_counter``.

    Lines that jobs keep are left out: who calls from Python is warned of what matters.
    """

    listens = False

    def __init__(self, make: Callable[[], Reporter], due: float) -> None:
        self._make = make
        self._due = due
        self._reporter: Reporter | None = None

    def say(self, line: str) -> None:
        """Nothing is said."""

    def progress(self, phase: str, share: float, numbers: Mapping[str, float]) -> None:
        if self._reporter is None:
            if time.perf_counter() < self._due:
                return
            self._reporter = self._make()
        self._reporter.progress(phase, share, numbers)


def is_notebook() -> bool:
    """Whether this is the kernel of a notebook, which shows rich output; imports nothing to find out."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def _is_terminal(stream: Any) -> bool:
    """Whether a person can be looking at a stream; it may be None, or closed."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def _make_reporter(notebook: bool, started: float) -> Any:
    """The reporter of a notebook or of a terminal, a context manager; imported only where it is needed."""
    if notebook:
        from lossatlas.progress.notebook import NotebookReporter

        return NotebookReporter(started)
    from lossatlas.progress.terminal import RichReporter

    return RichReporter()
