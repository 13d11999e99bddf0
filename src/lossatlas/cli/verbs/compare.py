"""``lossatlas compare``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from lossatlas.cli.configured import ConfiguredVerb, RunOptions, print_estimate
from lossatlas.cli.signals import stop_signals
from lossatlas.recipes import CompareConfig

__all__ = ["COMPARE"]

RUNS = "--runs"


@dataclass(frozen=True, kw_only=True)
class _Options(RunOptions):
    out: Path = Path("runs/compare")
    """The run directory."""
    pictures: bool = True
    """Draw the comparison and write the report."""


class _Compare(ConfiguredVerb[CompareConfig, _Options]):
    def layered(self, tokens: list[str]) -> list[str]:
        """Runs that are named without an option are those of ``--runs``."""
        taken = set(_values(tokens))
        runs = [token for place, token in enumerate(tokens) if place not in taken and not token.startswith("-")]
        others = [token for place, token in enumerate(tokens) if place in taken or token.startswith("-")]
        return super().layered([RUNS, *runs, *others] if runs else others)

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


def _values(tokens: list[str]) -> Iterator[int]:
    """The places of the tokens that are values of the option before them: one, of a list all, of a switch none."""
    kinds = {field.name: str(field.type) for part in (CompareConfig, _Options) for field in fields(part)}
    left = 0.0
    for place, token in enumerate(tokens):
        if token.startswith("--"):
            kind = kinds.get(token.removeprefix("--"), "bool")  # with its value behind =, or --no_ and a name
            left = float("inf") if kind.startswith("tuple") else 0 if kind == "bool" else 1
        elif left > 0:
            yield place
            left -= 1


COMPARE = _Compare(
    "compare",
    CompareConfig,
    _Options,
    None,
    "Compare trained networks, finished runs of lossatlas train: what lies between every two of them and around each, "
    "and how differently they predict. Name the runs first: lossatlas compare RUN RUN ...",
)
