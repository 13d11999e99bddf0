"""``lossatlas fit``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossatlas.bounds import NotNegative
from lossatlas.cli.configured import ConfiguredVerb, RunOptions, format_numbers, print_place
from lossatlas.cli.panels import Example
from lossatlas.cli.terminal import say
from lossatlas.recipes import PRESETS, FitConfig

if TYPE_CHECKING:
    from lossatlas.jobs.job import Job

__all__ = ["FIT"]


SHOWN = (
    "gap", "iou", "low_accuracy", "high_accuracy", "log_loss_correlation", "log_loss_rmse", "log_loss_gap",
    "red_correlation", "green_correlation", "blue_correlation", "red_green_correlation", "blue_yellow_correlation",
    "member_loss", "averaged_loss", "member_accuracy", "averaged_accuracy", "error_product", "steps", "seconds",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Options(RunOptions):
    out: Path = Path("runs/demo")
    """Directory of the run."""
    checkpoint_seconds: NotNegative = 10.0
    """Seconds between checkpoints."""
    preset: str = "fast"
    """Preset that other options start from (see `lossatlas info`); files and the command line override it."""
    pictures: bool = True
    """Draw pictures and write the report; `lossatlas view` can draw them later."""


class _Fit(ConfiguredVerb[FitConfig, _Options]):
    def job(self) -> Job[FitConfig]:
        from lossatlas.jobs.fit import run_fit

        return run_fit

    def before(self, config: FitConfig, run: _Options) -> str:
        if run.preset == "fast":
            return ""
        settings = ", ".join(f"{name}={getattr(config, name)}" for name in PRESETS[run.preset])
        return f"preset {run.preset}: {settings}"

    def tell(self, summary: Mapping[str, Any], run: _Options) -> None:
        say(format_numbers(summary, SHOWN))
        print_place(run, run.pictures)


FIT = _Fit(
    "fit",
    FitConfig,
    _Options,
    PRESETS,
    "Fit a picture into a loss landscape, survey it and draw it. Without options: the demo, into runs/demo.",
    (
        Example("A heart into the loss landscape of an MLP on digits: the demo", "lossatlas fit"),
        Example(
            "A word, with a convolutional network and more time",
            "lossatlas fit --pattern text:LOSS --model conv --seconds 120 --out runs/word",
        ),
        Example(
            "An image around a trained network",
            "lossatlas fit --pattern image:logo.png --checkpoint runs/a --out runs/logo",
        ),
        Example("What a run as in the paper would cost", "lossatlas fit --preset paper --dry_run"),
    ),
)
