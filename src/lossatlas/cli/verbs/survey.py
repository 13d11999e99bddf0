"""``lossatlas survey``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossatlas.cli.app import option_given
from lossatlas.cli.configured import ConfiguredVerb, RunOptions, lent_problem, print_estimate
from lossatlas.cli.signals import stop_signals
from lossatlas.recipes import SurveyConfig
from lossatlas.rundir import MODEL, SNAPSHOTS

__all__ = ["SURVEY"]


PLACES = ("checkpoint", "trajectory", "between", "run")
"""Options that name what is surveyed."""


@dataclass(frozen=True, kw_only=True)
class _Options(RunOptions):
    out: Path = Path("runs/survey")
    """The run directory."""
    pictures: bool = True
    """Draw the survey and write the report; `lossatlas view` draws a run that has none."""


class _Survey(ConfiguredVerb[SurveyConfig, _Options]):
    def inherited(self, tokens: list[str]) -> dict[str, Any]:
        """The problem of the run that is surveyed, or of the first of several."""
        given = next((name for place in PLACES if (name := option_given(tokens, place))), None)
        if given is None:
            return {}
        named = Path(given.partition("@")[0])
        run = named.parent if named.name in (SNAPSHOTS, MODEL) else named
        return lent_problem(run, tokens, without=("device",))

    def carry_out(self, config: SurveyConfig, run: _Options) -> int | None:
        from lossatlas.jobs.survey import estimate_survey, run_survey

        if run.dry_run:
            print_estimate(estimate_survey(config))
            return None
        from lossatlas.cli.progress import RichReporter

        with RichReporter() as reporter, stop_signals() as stop:
            summary = run_survey(
                config,
                run.out,
                resume=run.resume,
                overwrite=run.overwrite,
                pictures=run.pictures,
                reporter=reporter,
                stop=stop,
            )
        if "captured_variance" in summary:
            print(
                f"captured variance {summary['captured_variance']:.1%}, {summary['snapshots']} snapshots, largest "
                f"distance from the plane {summary['largest_distance_from_plane']:.3g}"
            )
        if "points_evaluated" in summary:
            print(f"{summary['points_evaluated']:,} points evaluated, the others interpolated")
        ends = {name: value for name, value in summary.items() if name.endswith("est_loss")}
        print(", ".join(f"{name} {value:.4g}" for name, value in ends.items() if value is not None))
        print(f"report: {run.out / 'report.html'}" if run.pictures else f"summary: {run.out / 'summary.json'}")
        return None


SURVEY = _Survey(
    "survey",
    SurveyConfig,
    _Options,
    None,
    "Survey the surroundings of a network, its way there, what lies between networks, or the chart of a run.",
)
