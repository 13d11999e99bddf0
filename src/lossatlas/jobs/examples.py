"""The number of examples in the survey of a fit when it is not stated: as many as the time of the fit allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lossatlas.jobs.forecast import format_duration
from lossatlas.recipes.fit_config import FEWEST

__all__ = ["COUNTS", "Chosen", "choose_examples"]

COUNTS = (FEWEST, 500, 1000, 2000)
"""The numbers of examples per split that are considered, beside all."""
ALL = "all"
CAUTION = 1.25
"""The safety factor on the expected time of a survey, since surveys take longer than expected more often than not."""


@dataclass(frozen=True)
class Chosen:
    """The chosen number of examples, as the option states it, and the reason in one line."""

    examples: str
    line: str


def choose_examples(
    seconds: float, takes: Callable[[Mapping[str, int]], float], available: Mapping[str, int]
) -> Chosen:
    """Choose the largest number of examples whose survey takes at most as long as the fit.

    Args:
        seconds: the seconds of the fit.
        takes: a function from numbers of examples by split to the expected seconds of their survey.
        available: the number of examples of each split.

    Returns:
        All if that certainly takes at most as long; else the largest of :data:`COUNTS` that does, or the smallest.
    """
    for count in (max(available.values()), *reversed(COUNTS)):
        taken = {name: min(count, length) for name, length in available.items()}
        needed = takes(taken)
        if CAUTION * needed <= seconds or count == COUNTS[0]:
            break
    everything = taken == dict(available)
    what = "all of each split" if everything else f"{count:,} of each split, a random subset"
    there = "within" if needed <= seconds else "more than"
    other = "another number" if needed <= seconds else "fewer"
    why = f"their survey takes about {format_duration(needed)}, {there} the fit's own {format_duration(seconds)}"
    return Chosen(ALL if everything else str(count), f"{what}: {why} (--examples takes {other})")
