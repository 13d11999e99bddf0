"""The switched optimisers of Im et al."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from lossatlas.charts import Simplex
from lossatlas.metrics import choose_metrics
from lossatlas.recipes import ProblemConfig, TrainConfig
from lossatlas.recipes.train import TrainRecipe, build_train
from lossatlas.reproduce.drawing import Curve, draw_curves, save, write_table
from lossatlas.reproduce.study import Run, Study
from lossatlas.rundir import MODEL
from lossatlas.surveying import survey
from lossatlas.weights.files import load_state, read_state

__all__ = ["IM_SWITCH"]

RATES = {"sgd": (0.05, 0.1), "adam": (1e-4, 1e-3)}
COLOURS = {"sgd": "#31688e", "adam": "#de4968", "sgd-adam": "#6d8b00", "adam-sgd": "#8c2981"}
POINTS = 21
"""The number of points on the line between two ends."""


@final
class _Switches(Study):
    title = "Im, Tao & Branson 2016: optimisers switched in mid-training, from one initialisation"

    def runs(self, scale: str) -> Mapping[str, ProblemConfig]:
        epochs = 60 if scale == "small" else 400
        shared: dict[str, Any] = (
            {"batch_size": 64}
            if scale == "small"
            else {"data": "cifar10", "model": "nin", "model_options": {"batch_norm": True}, "batch_size": 128}
        )
        configs = {}
        for first, second in (("sgd", "adam"), ("adam", "sgd")):
            start = f"{first},lr={RATES[first][1]:g}"
            configs[first] = TrainConfig(optimizer=start, epochs=epochs, snapshots="none", **shared)
            for share in (0.25, 0.5, 0.75):
                for rate in RATES[second]:
                    switch = f"{share * epochs:g}:{second},lr={rate:g}"
                    configs[f"{first}-{second}-{share:g}-{rate:g}"] = TrainConfig(
                        optimizer=start, switch=(switch,), epochs=epochs, snapshots="none", **shared
                    )
        return configs

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        shown = [
            save(
                draw_curves([_curve(name, run, key) for name, run in _shown(runs).items()], "epoch", label), out / file
            )
            for key, label, file in (
                ("accuracy", "training accuracy of an epoch's batches", "accuracy.png"),
                ("distance", "distance from the initial weights", "distance.png"),
                ("weight_norm", "norm of the weights", "norm.png"),
            )
        ]
        rows = []
        for name, run in runs.items():
            distances, norms, accuracies = (_epochs(run, key)[1] for key in ("distance", "weight_norm", "accuracy"))
            at = int(float(run.config.switch[0].partition(":")[0])) if run.config.switch else None
            jump = accuracies[at] - accuracies[at - 1] if at is not None else None
            turned = norms[-1] - norms[at - 1] if at is not None else None
            rows.append([name, run.summary["test_accuracy"], distances[-1], norms[-1], jump, turned])
        head = [
            "optimisers",
            "test accuracy",
            "distance",
            "norm",
            "jump of accuracy",
            "growth of norm since",
        ]
        humps, verdict = _humps(runs)
        sentence = (
            "Published: the accuracy jumps at the switch, SGD moves towards the origin and Adam away from it, and "
            "humps part the ends of all branches."
        )
        between = ["ends", "higher end", "highest on the line", "hump"]
        return "\n\n".join([sentence, write_table(head, rows), verdict, write_table(between, humps), *shown]) + "\n"


def _shown(runs: Mapping[str, Run]) -> dict[str, Run]:
    """Both optimisers by themselves, and the switches in the middle at the higher rate."""
    middle = {name: run for name, run in runs.items() if "-0.5-" in name}
    last = {name.rsplit("-", 2)[0]: run for name, run in middle.items()}
    return {**{name: run for name, run in runs.items() if "-" not in name}, **last}


def _curve(name: str, run: Run, key: str) -> Curve:
    epochs, values = _epochs(run, key)
    return Curve(name, epochs, values, [0.0] * len(values), COLOURS[name])


def _epochs(run: Run, key: str) -> tuple[list[float], list[float]]:
    """Means over the steps of each epoch."""
    log = run.log()
    per_epoch = round(len(log) / run.config.epochs)
    values = np.array([line[key] for line in log]).reshape(-1, per_epoch).mean(axis=1)
    return [float(k + 1) for k in range(len(values))], values.tolist()


def _humps(runs: Mapping[str, Run]) -> tuple[list[list[object]], str]:
    """The loss on the line between the ends of every two branches that are shown, above the higher end."""
    chosen = _shown(runs)
    recipe = build_train(next(iter(chosen.values())).config)
    split = recipe.evaluated["train"]
    rows: list[list[object]] = []
    for one, other in combinations(chosen, 2):
        losses = _line(recipe, [chosen[one], chosen[other]], split)
        higher = max(losses[0], losses[-1])
        rows.append([f"{one} to {other}", higher, max(losses), max(losses) - higher])
    parted = sum(float(str(row[-1])) > 0.01 for row in rows)
    return rows, f"Training loss between ends: a hump of more than 0.01 nat parts {parted} of {len(rows)} pairs."


def _line(recipe: TrainRecipe, ends: Sequence[Run], split: Any) -> list[float]:
    corners = []
    for run in ends:
        load_state(recipe.problem.module, read_state(run.path / MODEL), str(run.path))
        corners.append(recipe.space.vector_of(recipe.problem.module))
    chart = Simplex(torch.stack(corners))
    found = survey(
        chart, {chart.axes[0]: np.linspace(0, 1, POINTS)}, recipe.problem, {"train": split}, space=recipe.space,
        metrics=[name for name in choose_metrics(recipe.problem.loss) if name == "loss"], plan="loop",
    )  # fmt: skip
    return [float(value) for value in found["train_loss"].values]


IM_SWITCH = _Switches()
