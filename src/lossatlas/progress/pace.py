"""What is shown of a phase beside its share: the time that is left, and the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["REDRAW_SECONDS", "Pace", "describe_numbers"]

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


def describe_numbers(numbers: Mapping[str, float]) -> str:
    """How things stand, in a few words.

    >>> describe_numbers({"loss": 0.51234, "accuracy": 0.75, "lr": 0.1})
    'loss 0.512, accuracy 0.75'
    """
    shown = [name for name in ("loss", "accuracy") if {f"low_{name}", f"high_{name}"} <= numbers.keys()]
    if shown:
        pairs = [f"{name} {numbers[f'low_{name}']:.2f}/{numbers[f'high_{name}']:.2f}" for name in shown]
        return "low/high " + ", ".join(pairs)
    return ", ".join(f"{name} {numbers[name]:.3g}" for name in ("loss", "accuracy") if name in numbers)
