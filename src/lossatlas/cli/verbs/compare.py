"""``lossatlas compare``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lossatlas.cli.configured import ConfiguredVerb, RunOptions, print_estimate
from lossatlas.cli.signals import stop_signals
from lossatlas.recipes import CompareConfig

__all__ = ["COMPARE"]


@dataclass(frozen=True, kw_only=True)
class _Options(RunOptions):
    out: Path = Path("runs/compare")
    """The run directory."""
    pictures: bool = True
    """Draw the comparison and write the report."""


class _Compare(ConfiguredVerb[CompareConfig, _Options]):
    unnamed = "runs"

    def carry_out(self, config: CompareConfig, run: _Options) -> int | None:
        from lossatlas.jobs.compare import estimate_compare, run_compare

        if run.dry_run:
            print_estimate(estimate_compare(config))
            return None
        from lossatlas.cli.progress import RichReporter

        with RichReporter() as reporter, stop_signals() as stop:
            summary = run_compare(
                config,
                run.out,
                resume=run.resume,
                overwrite=run.overwrite,
                pictures=run.pictures,
                reporter=reporter,
                stop=stop,
            )
        for name, pair in summary["pairs"].items():
            shown = ("distance", "barrier", "disagreement", "js_divergence", "squared_difference")
            print(f"{name}: " + ", ".join(f"{key} {pair[key]:.3g}" for key in shown if pair.get(key) is not None))
        print(f"report: {run.out / 'report.html'}" if run.pictures else f"summary: {run.out / 'summary.json'}")
        return None


COMPARE = _Compare(
    "compare",
    CompareConfig,
    _Options,
    None,
    "Compare trained networks, finished runs of lossatlas train: what lies between every two of them and around each, "
    "and how differently they predict. Name the runs first: lossatlas compare RUN RUN ...",
)
