"""Signals that ask the process to end: at once until somebody asks for them, then as a question."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interruptible", "stop_signals"]

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


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
            raise KeyboardInterrupt

    def asked(self) -> bool:
        """Whether there was a signal; from now on, who asks decides when to stop."""
        self.at_once = False
        return self.came


_now = _Interrupts()


@contextmanager
def interruptible(*, last: bool = False) -> Iterator[Callable[[], bool]]:
    """While entered, the signals raise KeyboardInterrupt; gives a function that says whether there was one.

    Libraries may swallow the exception while they are imported. What fails afterwards may have failed for that.

    Args:
        last: the process ends afterwards, and a second signal ends it at once, without a word.
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
        yield lambda: here.came
    finally:
        _now = outer
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if last or handler is None else handler)


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Within :func:`interruptible`, gives a question to ask between steps: whether there was a signal.

    The first question turns signals into answers to it; until then they interrupt at once, for nobody would hear
    them while a long computation is planned. A second SIGINT interrupts at once in any case.
    """
    here = _now
    try:
        yield here.asked
    finally:
        here.at_once = True
