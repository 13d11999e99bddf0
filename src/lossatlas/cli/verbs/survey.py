"""``lossatlas survey``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossatlas.cli.app import option_given
from lossatlas.cli.configured import ConfiguredVerb, RunOptions, lent_problem, print_estimate
from lossatlas.cli.signals import stop_signals
from lossatlas.recipes import SurveyConfig
from lossatlas.rundir import SNAPSHOTS

__all__ = ["SURVEY"]


@dataclass(frozen=True, kw_only=True)
class _Options(RunOptions):
    out: Path = Path("runs/survey")
    """The run directory."""
    pictures: bool = True
    """Draw the survey and write the report; `lossatlas view` draws a run that has none."""


class _Survey(ConfiguredVerb[SurveyConfig, _Options]):
    def inherited(self, tokens: list[str]) -> dict[str, Any]:
        """The problem of the run whose trajectory is named, as it was before augmentation."""
        named = option_given(tokens, "trajectory")
        if not named:
            return {}
        run = Path(named).parent if Path(named).name == SNAPSHOTS else Path(named)
        return lent_problem(run, tokens, without=("augment", "device"))

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
        print(
            f"captured variance {summary['captured_variance']:.1%}, {summary['snapshots']} snapshots, largest distance "
            f"from the plane {summary['largest_distance_from_plane']:.3g}, {summary['seconds']:.0f} s"
        )
        print(f"report: {run.out / 'report.html'}" if run.pictures else f"summary: {run.out / 'summary.json'}")
        return None


SURVEY = _Survey(
    "survey",
    SurveyConfig,
    _Options,
    None,
    "Survey the plane that a training went through: its principal components, or other directions.",
)
