"""The networks of Figures 2 and 3 of Li et al. 2018: small and large batches, with and without weight decay."""

from __future__ import annotations

from itertools import product
from typing import Any

from lossatlas.recipes import TrainConfig
from lossatlas.reproduce.settings import PAPER_TRAINING

__all__ = ["BATCHES", "DECAYS", "configure_trainings", "name_training"]

BATCHES = {"small": (32, 1347), "paper": (128, 8192)}
"""At the small scale the large batch is all of the digits."""
DECAYS = {"small": (0.0, 5e-3), "paper": (0.0, 5e-4)}
"""The small scale has some 4,000 steps where the published trainings have 117,000, so its decay is ten times theirs."""


def configure_trainings(scale: str, seed: int = 0) -> dict[tuple[int, float], TrainConfig]:
    """VGG-9 with batch normalisation by batch size and weight decay, as many epochs for each; one initialisation."""
    return {
        (batch, decay): _training(scale, batch, decay, seed) for decay, batch in product(DECAYS[scale], BATCHES[scale])
    }


def name_training(batch: int, decay: float) -> str:
    """What the run of a training is called."""
    return f"batch{batch}-decay{decay:g}"


def _training(scale: str, batch: int, decay: float, seed: int) -> TrainConfig:
    varied: dict[str, Any] = {"batch_size": batch, "weight_decay": decay, "seed": seed, "snapshots": "none"}
    if scale == "paper":
        return TrainConfig(model="vgg", model_options={"depth": 9, "batch_norm": True}, **PAPER_TRAINING | varied)
    return TrainConfig(
        model="vgg", model_options={"depth": 9, "batch_norm": True, "width": 8}, optimizer="nesterov", lr=0.1,
        schedule="steps", epochs=100, **varied,
    )  # fmt: skip
