"""Reporters of the progress of jobs."""

from __future__ import annotations

from collections.abc import Mapping

from lossatlas.progress import Reporter

__all__ = ["Patient"]


class Patient(Reporter):
    """Holds lines back until the work starts, so that a job that is refused before prints only the error.

    Args:
        reporter: the reporter that receives the lines then, and all later reports.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.listens = reporter.listens
        self._kept: list[str] | None = []

    @property
    def began(self) -> bool:
        """Return whether the work has started."""
        return self._kept is None

    def say(self, line: str) -> None:
        """Report a line, at once or when the work starts."""
        if self._kept is None:
            self._reporter.say(line)
        else:
            self._kept.append(line)

    def progress(self, phase: str, share: float, numbers: Mapping[str, float]) -> None:
        """Report progress, with which the work has started."""
        self.release()
        self._reporter.progress(phase, share, numbers)

    def release(self) -> None:
        """Report the lines that were held back."""
        kept, self._kept = self._kept or [], None
        for line in kept:
            self._reporter.say(line)
