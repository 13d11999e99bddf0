"""``lossatlas survey``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossatlas.cli.app import find_option
from lossatlas.cli.configured import ConfiguredVerb, format_numbers, lend_problem_of, print_place
from lossatlas.cli.panels import Example
from lossatlas.cli.spread_options import SpreadRunOptions
from lossatlas.cli.terminal import say
from lossatlas.recipes import SurveyConfig

if TYPE_CHECKING:
    from lossatlas.jobs.job import Job

__all__ = ["SURVEY"]


SITES = ("checkpoint", "trajectory", "between", "run", "posterior")
"""Options that name what is surveyed."""


@dataclass(frozen=True, kw_only=True)
class _Options(SpreadRunOptions):
    out: Path = Path("runs/survey")
    """Directory of the run."""
    pictures: bool = True
    """Draw pictures and write the report; `lossatlas view` can draw them later."""


class _Survey(ConfiguredVerb[SurveyConfig, _Options]):
    def inherited(self, tokens: list[str]) -> dict[str, Any]:
        """The problem of the run that is surveyed, or of the first of several."""
        given = next((name for site in SITES if (name := find_option(tokens, site))), None)
        return {} if given is None else lend_problem_of(given, tokens)

    def job(self) -> Job[SurveyConfig]:
        from lossatlas.jobs.survey import run_survey

        return run_survey

    def tell(self, summary: Mapping[str, Any], run: _Options) -> None:
        match [summary.get(name) for name in ("captured_variance", "snapshots", "largest_distance_from_plane")]:
            case [int() | float() as captured, int(snapshots), int() | float() as away]:
                from_plane = f"largest distance from the plane {away:.3g}"
                say(f"captured variance {captured:.1%}, {snapshots} snapshots, {from_plane}")
        if isinstance(points := summary.get("points_evaluated"), int | float):
            say(f"{points:,} points evaluated, the others interpolated")
        say(format_numbers(summary, [name for name in summary if name.endswith("est_loss")]))
        print_place(run, run.pictures)


SURVEY = _Survey(
    "survey",
    SurveyConfig,
    _Options,
    None,
    "Survey the loss around a network, its trajectory or posterior, between networks, or on a chart.",
    (
        Example("Along two random directions around a trained network", "lossatlas survey --checkpoint runs/a"),
        Example("On the line between two networks", "lossatlas survey --between runs/a runs/b --grid 41"),
        Example("In the plane of the principal components of a training", "lossatlas survey --trajectory runs/a"),
        Example(
            "Around weights of your own, of a model of your own (mine.py)",
            "lossatlas survey --checkpoint weights.pt --model mine:network --data mine:data",
        ),
    ),
)
