"""The expected time of a run, phase by phase, and its wording."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["LONG", "PICTURES", "Forecast", "Phase", "format_duration"]

LONG = 60.0
"""The seconds above which the expected time of a run is printed beforehand."""
ROUNDED = (
    (3595.0, 60, "min", 10, 1, "s"),
    (86_100.0, 3600, "h", 600, 60, "min"),
    (math.inf, 86_400, "d", 3600, 3600, "h"),
)
"""By upper bounds in seconds: a unit and its name, the rounding, and the unit of the remainder and its name."""


@dataclass(frozen=True)
class Phase:
    """A part of a run: its name, its expected seconds, and the factor by which these may be wrong, up or down."""

    name: str
    seconds: float
    factor: float = 1.0


PICTURES = Phase("pictures", 5.0, 2.0)
"""The pictures and the report of a survey: 3.6 to 7.9 s on two busy cores for grids of 200 to 8,000 points."""


@dataclass(frozen=True)
class Forecast:
    """The phases of a run that are still to come, without those that take no time."""

    phases: Sequence[Phase]

    @property
    def seconds(self) -> float:
        """Return the expected seconds of all phases."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def factor(self) -> float:
        """Return the factor by which the sum may be wrong, if all phases are wrong in the same direction."""
        return sum(phase.seconds * phase.factor for phase in self.phases) / self.seconds if self.seconds else 1.0

    @property
    def parts(self) -> str:
        """Return the phases with their times, as in ``fit 4 min 30 s, survey 25 s``."""
        return ", ".join(f"{phase.name} {format_duration(phase.seconds)}" for phase in self.phases if phase.seconds)

    def share(self, name: str, workers: int) -> Forecast:
        """Return the forecast if several workers share one of the phases."""
        shared = [replace(each, seconds=each.seconds / workers) if each.name == name else each for each in self.phases]
        return Forecast(shared)

    def line(self) -> str:
        """Return the forecast as one line.

        >>> Forecast([Phase("fit", 270), Phase("survey", 25.2), PICTURES]).line()
        'this will take about 5 min: fit 4 min 30 s, survey 25 s, pictures 5 s'
        """
        return f"this will take about {format_duration(self.seconds)}: {self.parts}"


def format_duration(seconds: float) -> str:
    """Format a duration to about two significant figures, in seconds, minutes, hours or days.

    >>> [format_duration(seconds) for seconds in (0.2, 47.4, 96, 3590, 8000, 300_000)]
    ['0.2 s', '47 s', '1 min 40 s', '59 min 50 s', '2 h 10 min', '3 d 11 h']
    """
    if seconds < 59.5:
        return f"{max(seconds, 0.001):.1g} s" if seconds < 0.95 else f"{round(seconds)} s"
    unit, name, grain, part, part_name = next(rule[1:] for rule in ROUNDED if seconds < rule[0])
    whole, rest = divmod(grain * round(seconds / grain), unit)
    return f"{whole} {name}" + (f" {rest // part} {part_name}" if rest else "")
