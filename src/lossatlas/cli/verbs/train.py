"""``lossatlas train``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossatlas.bounds import NotNegative
from lossatlas.cli.app import find_option
from lossatlas.cli.configured import ConfiguredVerb, RunOptions, format_numbers, lend_problem
from lossatlas.cli.panels import Example
from lossatlas.cli.terminal import say
from lossatlas.recipes import TrainConfig
from lossatlas.specs import NetworkSpec

if TYPE_CHECKING:
    from lossatlas.jobs.job import Job

__all__ = ["TRAIN"]


@dataclass(frozen=True, kw_only=True)
class _Options(RunOptions):
    out: Path = Path("runs/train")
    """Directory of the run."""
    checkpoint_seconds: NotNegative = 10.0
    """Seconds between checkpoints."""


class _Train(ConfiguredVerb[TrainConfig, _Options]):
    def inherited(self, tokens: list[str]) -> dict[str, Any]:
        """The problem of the run that is branched from, its seed included."""
        spec = find_option(tokens, "init_from")
        return lend_problem(NetworkSpec.parse(spec).path, tokens, without=("device",)) if spec else {}

    def job(self) -> Job[TrainConfig]:
        from lossatlas.jobs.train import run_train

        return run_train

    def tell(self, summary: Mapping[str, Any], run: _Options) -> None:
        shown = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "steps", "seconds")
        say(format_numbers(summary, shown))
        say(f"weights: {run.out / 'model.safetensors'}")


TRAIN = _Train(
    "train",
    TrainConfig,
    _Options,
    None,
    "Train a network, and keep snapshots of its trajectory. Without options: an MLP on digits.",
    (
        Example(
            "An MLP on digits, and a second one from another seed",
            "lossatlas train --out runs/a",
            "lossatlas train --seed 1 --out runs/b",
        ),
        Example(
            "A residual network of 56 layers on CIFAR-10",
            "lossatlas train --data cifar10 --model resnet --model.depth 56 --epochs 30",
        ),
        Example("Continue a run that was interrupted", "lossatlas train --out runs/a --resume"),
    ),
)
