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
        started: Seconds of a clock.
        first: The share that was done then, in [0, 1]: a resumed run begins where it was stopped.
    """

    started: float
    first: float

    def describe_left(self, now: float, share: float) -> str:
        """The time until the phase is done, if it goes on as it did; empty where nothing is known of that.

        >>> Pace(10.0, 0.2).describe_left(20.0, 0.6), Pace(10.0, 0.2).describe_left(20.0, 0.2)
        ('10 s left', '')
        """
        if share <= self.first:
            return ""
        return f"{(now - self.started) * (1 - share) / (share - self.first):.0f} s left"
