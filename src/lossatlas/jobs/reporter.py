"""What a job tells while it runs."""

from __future__ import annotations

from collections.abc import Mapping

from lossatlas.progress import Reporter

__all__ = ["Patient"]


class Patient(Reporter):
    """Keeps lines until the work begins, so that a job which is refused before that says why and nothing else.

    Args:
        reporter: is told then, and of everything that follows.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.listens = reporter.listens
        self._kept: list[str] | None = []

    @property
    def began(self) -> bool:
        """Whether the work has begun."""
        return self._kept is None

    def say(self, line: str) -> None:
        """A line, at once or once the work begins."""
        if self._kept is None:
            self._reporter.say(line)
        else:
            self._kept.append(line)

    def progress(self, phase: str, share: float, numbers: Mapping[str, float]) -> None:
        """The work has begun."""
        self.release()
        self._reporter.progress(phase, share, numbers)

    def release(self) -> None:
        """Say what was kept."""
        kept, self._kept = self._kept or [], None
        for line in kept:
            self._reporter.say(line)
