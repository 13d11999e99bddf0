"""``lossatlas train``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossatlas.cli.app import option_given
from lossatlas.cli.configured import ConfiguredVerb, RunOptions, lent_problem, print_estimate
from lossatlas.cli.signals import stop_signals
from lossatlas.recipes import TrainConfig

__all__ = ["TRAIN"]


@dataclass(frozen=True, kw_only=True)
class _Options(RunOptions):
    out: Path = Path("runs/train")
    """The run directory."""
    checkpoint_seconds: float = 10.0
    """Seconds between checkpoints."""


class _Train(ConfiguredVerb[TrainConfig, _Options]):
    def inherited(self, tokens: list[str]) -> dict[str, Any]:
        """The problem of the run that is branched from, its seed included."""
        run, _, _ = (option_given(tokens, "init_from") or "").partition("@")
        return lent_problem(Path(run), tokens, without=("device",)) if run else {}

    def carry_out(self, config: TrainConfig, run: _Options) -> int | None:
        from lossatlas.jobs.train import estimate_train, run_train

        if run.dry_run:
            print_estimate(estimate_train(config))
            return None
        from lossatlas.cli.progress import RichReporter

        with RichReporter() as reporter, stop_signals() as stop:
            summary = run_train(
                config,
                run.out,
                resume=run.resume,
                overwrite=run.overwrite,
                checkpoint_seconds=run.checkpoint_seconds,
                reporter=reporter,
                stop=stop,
            )
        shown = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "steps", "seconds")
        print(", ".join(f"{name} {summary[name]:.4g}" for name in shown if name in summary))
        print(f"weights: {run.out / 'model.safetensors'}")
        return None


TRAIN = _Train(
    "train",
    TrainConfig,
    _Options,
    None,
    "Train a network on purpose, and keep snapshots of the way there. Without options: an MLP on digits.",
)
