"""Signals that ask the process to end: at once until somebody asks for them, then as a question."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["check_interrupts", "is_asked_to_stop", "watch_signals"]

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class _Signalled(KeyboardInterrupt):
    """Not the KeyboardInterrupt itself: Python would kill itself in the end if one had passed through ``exec``."""


class _Interrupts:
    """Handles the signals of this process, and leaves those of its children alone."""

    def __init__(self) -> None:
        self.came = False
        """Whether there was a signal."""
        self.at_once = True
        """Whether a signal is an exception, wherever the process may be; otherwise it is noted."""
        self._process = os.getpid()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a worker that was forked ends as it would have without handlers
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        again, self.came = self.came, True
        if self.at_once or (again and number == signal.SIGINT):
            raise _Signalled

    @property
    def lost(self) -> bool:
        """Whether somebody swallowed the exception; torch does so while it imports numpy, and goes on without it."""
        return self.came and self.at_once

    def asked(self) -> bool:
        """Whether there was a signal; from now on, who asks decides when to stop."""
        self.at_once = False
        return self.came


_now = _Interrupts()


def check_interrupts() -> None:
    """Raise KeyboardInterrupt once more where a signal raised it and a library that was being imported swallowed it."""
    if _now.lost:
        raise _Signalled


@contextmanager
def watch_signals(*, last: bool = False) -> Iterator[Callable[[], bool]]:
    """While entered, the signals raise KeyboardInterrupt, until :func:`is_asked_to_stop` is called.

    Args:
        last: the process ends afterwards, and a second signal ends it at once, without a word.

    Yields:
        A function that says whether what went wrong may have gone wrong because the exception was swallowed.
    """
    global _now
    outer, _now = _now, _Interrupts()
    here = _now
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            # Who starts a process by nohup wants it to outlive the terminal.
            if not (number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) is signal.SIG_IGN):
                before[number] = signal.signal(number, here)
    try:
        yield lambda: here.lost
    finally:
        _now = outer
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if last or handler is None else handler)


def is_asked_to_stop() -> bool:
    """Whether there was a signal, within :func:`watch_signals`; to be asked between steps.

    The first question turns signals into answers to it: until then they interrupt at once, as they would go unnoticed
    while a long computation is planned. A second SIGINT interrupts at once in any case.
    """
    return _now.asked()
