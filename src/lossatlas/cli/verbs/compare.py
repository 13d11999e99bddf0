"""``lossatlas compare``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossatlas.cli.configured import ConfiguredVerb, format_numbers, print_place
from lossatlas.cli.panels import Example
from lossatlas.cli.spread_options import SpreadRunOptions
from lossatlas.cli.terminal import say
from lossatlas.recipes import CompareConfig

if TYPE_CHECKING:
    from lossatlas.jobs.job import Job

__all__ = ["COMPARE"]


@dataclass(frozen=True, kw_only=True)
class _Options(SpreadRunOptions):
    out: Path = Path("runs/compare")
    """Directory of the run."""
    pictures: bool = True
    """Draw pictures and write the report."""


class _Compare(ConfiguredVerb[CompareConfig, _Options]):
    unnamed = "runs"

    def job(self) -> Job[CompareConfig]:
        from lossatlas.jobs.compare import run_compare

        return run_compare

    def tell(self, summary: Mapping[str, Any], run: _Options) -> None:
        shown = ("distance", "barrier", "disagreement", "js_divergence", "squared_difference")
        pairs = summary.get("pairs")
        for name, pair in pairs.items() if isinstance(pairs, Mapping) else ():
            say(f"{name}: {format_numbers(pair, shown, digits=3)}")
        print_place(run, run.pictures)


COMPARE = _Compare(
    "compare",
    CompareConfig,
    _Options,
    None,
    "Compare trained networks: what lies between every two of them and around each, and how differently they predict. "
    "Name finished runs of lossatlas train first: lossatlas compare RUN RUN ...",
    (
        Example("Two networks from different seeds", "lossatlas compare runs/a runs/b"),
        Example(
            "A quick look at three, on the test split",
            "lossatlas compare runs/a runs/b runs/c --grid 9 --repeats 1 --splits test",
        ),
    ),
)
