"""How many examples the survey of a fit takes where nobody says: as many as its own time allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lossatlas.jobs.forecast import format_duration
from lossatlas.recipes.fit_config import FEWEST

__all__ = ["COUNTS", "Chosen", "choose_examples"]

COUNTS = (FEWEST, 500, 1000, 2000)
"""Examples of each split that are chosen among; or all."""
ALL = "all"
CAUTION = 1.25
"""So many times what a survey is thought to take must fit, since surveys rather take longer than shorter."""


@dataclass(frozen=True)
class Chosen:
    """How many examples were chosen, as an option spells it, and why, in one line."""

    examples: str
    line: str


def choose_examples(
    seconds: float, takes: Callable[[Mapping[str, int]], float], available: Mapping[str, int]
) -> Chosen:
    """The most examples whose survey takes no longer than the fit.

    Args:
        seconds: of the fit.
        takes: the seconds of a survey of so many examples, by split.
        available: how many examples each split has.

    Returns:
        All if that surely takes no longer; else the largest of :data:`COUNTS` that takes no longer, or the smallest.
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
