"""How fast a phase goes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["REDRAW_SECONDS", "Pace"]

REDRAW_SECONDS = 0.2
"""Between two drawings, at least."""


@dataclass(frozen=True)
class Pace:
    """When a phase was first told of, and how far it was.

    Attributes:
        started: seconds of a clock.
        first: the share that was done then, in [0, 1]: a resumed run begins where it was stopped.
    """

    started: float
    first: float

    def estimate_left(self, now: float, share: float) -> float:
        """Seconds until the phase is done, if it goes on as it did; 0 where nothing is known of that."""
        return (now - self.started) * (1 - share) / (share - self.first) if share > self.first else 0.0
