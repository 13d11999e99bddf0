"""``lossatlas fit``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossatlas.cli.configured import ConfiguredVerb, RunOptions, print_estimate
from lossatlas.cli.signals import stop_signals
from lossatlas.recipes import PRESETS, FitConfig

__all__ = ["FIT"]


@dataclass(frozen=True, kw_only=True)
class _Options(RunOptions):
    out: Path = Path("runs/demo")
    """The run directory."""
    checkpoint_seconds: float = 10.0
    """Seconds between checkpoints."""
    preset: str = "fast"
    """Settings to begin with (see `lossatlas info`); files and the command line override them."""
    pictures: bool = True
    """Draw the survey and write the report; `lossatlas view` draws a run that has none."""


class _Fit(ConfiguredVerb[FitConfig, _Options]):
    def carry_out(self, config: FitConfig, run: _Options) -> int | None:
        from lossatlas.jobs.estimate import estimate_fit
        from lossatlas.jobs.fit import run_fit

        if run.dry_run:
            print_estimate(estimate_fit(config))
            return None
        from lossatlas.cli.progress import RichReporter

        with RichReporter() as reporter, stop_signals() as stop:
            if run.preset != "fast":
                settings = ", ".join(f"{name}={getattr(config, name)}" for name in PRESETS[run.preset])
                reporter.say(f"preset {run.preset}: {settings}")
            summary = run_fit(
                config,
                run.out,
                resume=run.resume,
                overwrite=run.overwrite,
                checkpoint_seconds=run.checkpoint_seconds,
                pictures=run.pictures,
                reporter=reporter,
                stop=stop,
            )
        _print_summary(summary, run.out, run.pictures)
        return None


FIT = _Fit(
    "fit",
    FitConfig,
    _Options,
    PRESETS,
    "Fit a picture into a loss landscape, survey it and draw it. Without options: the demo, into runs/demo.",
)


def _print_summary(summary: Mapping[str, Any], out: Path, pictures: bool) -> None:
    shown = (
        "gap",
        "iou",
        "low_accuracy",
        "high_accuracy",
        "log_loss_correlation",
        "log_loss_rmse",
        "log_loss_gap",
        "steps",
        "seconds",
    )
    numbers = [f"{name} {summary[name]:.4g}" for name in shown if isinstance(summary.get(name), int | float)]
    print(", ".join(numbers))
    print(f"report: {out / 'report.html'}" if pictures else f"summary: {out / 'summary.json'}")
