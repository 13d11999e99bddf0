"""Figure 9 of Li et al.: trajectories on their PCA planes, by batch size and weight decay."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, final

import numpy as np

from lossatlas import schema
from lossatlas.recipes import ProblemConfig, SurveyConfig, TrainConfig
from lossatlas.reproduce.drawing import save, write_table
from lossatlas.reproduce.settings import PAPER_TRAINING, copy_problem
from lossatlas.reproduce.study import Run, Study
from lossatlas.views import Style, draw

__all__ = ["LI_FIG9"]

BATCHES = {"small": (32, 1347), "paper": (128, 8192)}
DECAYS = {"small": (0.0, 5e-3), "paper": (0.0, 5e-4)}


@final
class _Trajectories(Study):
    title = (
        "Figure 9 of Li et al. 2018: trajectories on their PCA planes, small and large batches, with and without "
        "weight decay"
    )

    def runs(self, scale: str) -> Mapping[str, ProblemConfig]:
        configs: dict[str, ProblemConfig] = {}
        for batch, decay in product(BATCHES[scale], DECAYS[scale]):
            name = _name(batch, decay)
            training = self._training(scale, batch, decay)
            configs[name] = training
            grid, examples = ((25,), "all") if scale == "small" else ((51,), "all")
            configs[f"{name}-plane"] = SurveyConfig(
                **copy_problem(training), trajectory=name, splits=("train",), grid=grid, examples=examples
            )
        return configs

    @staticmethod
    def _training(scale: str, batch: int, decay: float) -> TrainConfig:
        if scale == "paper":
            shared: dict[str, Any] = PAPER_TRAINING | {"batch_size": batch, "weight_decay": decay}
            return TrainConfig(model="vgg", model_options={"depth": 9, "batch_norm": True}, **shared)
        # As many steps for the large batch as it needs to get anywhere: each sees all examples.
        epochs = 60 if batch < 1000 else 600
        return TrainConfig(
            optimizer="momentum,lr=0.05", weight_decay=decay, batch_size=batch, epochs=epochs, schedule="steps",
            snapshots=f"epoch:{epochs // 60}",
        )  # fmt: skip

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        shown, rows = [], []
        for name, run in runs.items():
            if not name.endswith("-plane"):
                continue
            trained = runs[name.removesuffix("-plane")]
            survey, summary = run.survey, run.summary
            title = f"batch {trained.config.batch_size}, weight decay {trained.config.weight_decay:g}"
            shown.append(save(draw(survey, ["trajectory"], Style(title=title))["trajectory"], out / f"{name}.png"))
            angles = survey[schema.OnTrajectory.ANGLE].values
            early, late = (float(np.nanmedian(half)) for half in np.array_split(angles, 2))
            end = trained.summary
            rows.append(
                [trained.config.batch_size, f"{trained.config.weight_decay:g}"]
                + [f"{100 * summary[f'captured_by_{axis}']:.3g} %" for axis in ("u", "v")]
                + [f"{early:.0f}°", f"{late:.0f}°", f"{end['train_loss']:.2g}", end["test_accuracy"]]
            )
        head = ["batch", "weight decay", "component 1", "component 2", "angle to descent, first half", "second half"]
        sentence = (
            "Published: the planes hold 40 to 90 % of the variance; trajectories run across the contours at first, and "
            "with small batches and weight decay along them later, where they circle until the rate drops. Below 90° "
            "a step descends."
        )
        return "\n\n".join([sentence, write_table([*head, "train loss", "test accuracy"], rows), *shown]) + "\n"


def _name(batch: int, decay: float) -> str:
    return f"batch{batch}-decay{decay:g}"


LI_FIG9 = _Trajectories()
