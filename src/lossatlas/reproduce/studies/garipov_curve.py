"""Table 1 of Garipov et al.: curves between two networks, and three objectives of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np

from lossatlas.recipes import ProblemConfig, TrainConfig
from lossatlas.reproduce.connecting import PRERESNET, SMALL_NETWORK, VGG16, configure_curve, list_loss_and_error
from lossatlas.reproduce.drawing import Curve, draw_curves, save, write_table
from lossatlas.reproduce.study import Run, Study
from lossatlas.schema import CURVE
from lossatlas.views import draw

__all__ = ["GARIPOV_CURVE"]

OBJECTIVES = {"uniform": "#3b0f70", "arclength": "#31688e", "max": "#de4968"}
COLUMNS = (*OBJECTIVES, "longer")
"""The last is the uniform objective again, with as many steps more as a step of the maximum costs."""
LONGER = 4 / 3
RESIDUAL = "preresnet-"
RESIDUALS = (f"{RESIDUAL}bezier", f"{RESIDUAL}chain")
"""The runs of the second network, at the published scale."""
SEEDS = 3
PUBLISHED = [
    ["ends", ".24", "6.79 to 6.94", ".18", "4.75 to 4.76", ".08 to .09", "3.69 to 3.73"],
    ["Bézier", ".14 to .24", "6.79 to 7.75", ".09 to .18", "4.45 to 4.97", ".05 to .09", "3.49 to 3.88"],
    ["chain", ".16 to .27", "6.79 to 8.08", ".11 to .18", "4.39 to 5.13", "", ""],
]


@final
class _Curves(Study):
    title = "Table 1 of Garipov et al. 2018: training loss and test error on curves between two networks"

    def runs(self, scale: str) -> Mapping[str, ProblemConfig]:
        if scale == "paper":
            training = TrainConfig(**VGG16)
            shared: dict[str, Any] = {
                "epochs": 600, "lr": 0.015, "weight_decay": 5e-4, "augment": training.augment, "examples": "all",
                "buffers_batches": 100, "plane": 0, "ensembles": False,
            }  # fmt: skip
        else:
            training = TrainConfig(**SMALL_NETWORK)
            shared = {"steps": 2000, "examples": "2000", "plane": 0, "ensembles": False}
        found: dict[str, ProblemConfig] = {f"end-{k}": _seeded(training, k) for k in range(2)}
        for curve in ("bezier", "chain"):
            found[curve] = configure_curve(training, "end-0", "end-1", curve=curve, **shared)
        if scale == "paper":
            residual = TrainConfig(**PRERESNET)
            found |= {f"{RESIDUAL}end-{k}": _seeded(residual, k) for k in range(2)}
            own = {**shared, "epochs": 200, "lr": 0.03, "weight_decay": 3e-4}
            for curve in ("bezier", "chain"):
                ends = f"{RESIDUAL}end-0", f"{RESIDUAL}end-1"
                found[f"{RESIDUAL}{curve}"] = configure_curve(residual, *ends, curve=curve, **own)
        # The three problems on equal budgets: as many points and images a step for all of them.
        steps = configure_curve(training, "end-0", "end-1", **shared).steps or 0
        for column in COLUMNS:
            drawn = {**shared, "points": 4, "batch_size": 32}
            found[f"bezier-{column}"] = configure_curve(training, "end-0", "end-1", **_column(drawn, column, steps))
        # And over several pairs of ends: on the digits, at any scale. The networks are small and trained to the end, so
        # that no curve found so far is as low as they are.
        small = TrainConfig(
            model_options={"hidden": (16,)}, optimizer="adam,lr=0.003", epochs=150, snapshots="none"
        )  # fmt: skip
        for seed in range(SEEDS):
            ends = f"digits-{seed}-a", f"digits-{seed}-b"
            found |= {end: _seeded(small, 2 * seed + k) for k, end in enumerate(ends)}
            drawn = {"points": 4, "batch_size": 32, "seed": seed, "examples": "all", "plane": 0, "ensembles": False}
            for column in COLUMNS:
                found[f"digits-{seed}-{column}"] = configure_curve(small, *ends, **_column(drawn, column, 1500))
        return found

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        first = runs["bezier"]
        rows = []
        for name in ("bezier", "chain", *(f"bezier-{column}" for column in COLUMNS), *RESIDUALS):
            if name not in runs:
                continue
            if name.endswith("bezier"):
                straight = name.replace("bezier", "straight line")
                rows.append([straight, *list_loss_and_error(runs[name], "straight"), None, None, 1.0])
            train = runs[name].summary["train_scores"]
            rows.append([name, *list_loss_and_error(runs[name]), train["curve_mean"], train["curve_integral"],
                         runs[name].summary["length_ratio"]])  # fmt: skip
        worse, test = first.summary["train_scores"]["worse_end"], first.summary["test_scores"]["worse_end"]
        barriers = [first.summary["train_scores"][f"{path}_barrier"] for path in ("straight", "curve")]
        sentence = (
            f"The worse end has a training loss of {worse:.3f} and a test loss of {test:.3f}; the straight line rises "
            f"{barriers[0]:.3f} nats above it and the Bézier curve {barriers[1]:.3f}."
        )
        head = ["path", "train loss", "test error %", "mean loss", "mean over length", "length"]
        published = write_table(
            ["", "VGG16 loss", "error %", "PreResNet-164 loss", "error %", "WRN-28-10 loss", "error %"], PUBLISHED
        )
        shown = [
            save(draw(first.survey, ["curve"])["curve"], out / "curve.png"),
            save(draw_curves(_objectives(runs), "t", "train loss"), out / "objectives.png"),
        ]
        digits, verdict = _maxima(runs)
        parts = [sentence, write_table(head, rows), "Published (CIFAR-10):", published, verdict, digits, *shown]
        return "\n\n".join(parts) + "\n"


def _column(options: Mapping[str, Any], column: str, steps: int) -> dict[str, Any]:
    """The options of an objective's curve, or of the longer one's."""
    longer = column == "longer"
    lasting = {"epochs": None, "steps": round(LONGER * steps) if longer else steps}
    return {**options, **lasting, "objective": "uniform" if longer else column}


def _seeded(training: TrainConfig, seed: int) -> TrainConfig:
    return replace(training, seed=seed)


def _objectives(runs: Mapping[str, Run]) -> list[Curve]:
    """The training loss along the curves of the three objectives."""
    found = []
    for objective, colour in OBJECTIVES.items():
        survey = runs[f"bezier-{objective}"].survey
        losses = np.asarray(survey["train_loss"].values, dtype=np.float64)
        found.append(Curve(objective, survey[CURVE].values.tolist(), losses.tolist(), [0.0] * len(losses), colour))
    return found


def _maxima(runs: Mapping[str, Run]) -> tuple[str, str]:
    """The highest training loss by objective and pair of ends on equal budgets, and what they say."""
    scores = {
        column: [runs[f"digits-{seed}-{column}"].summary["train_scores"] for seed in range(SEEDS)] for column in COLUMNS
    }
    rows = [
        [seed, scores["uniform"][seed]["worse_end"], scores["uniform"][seed]["straight_max"],
         *(scores[name][seed][key] for key in ("curve_max", "curve_mean") for name in COLUMNS)]
        for seed in range(SEEDS)
    ]  # fmt: skip
    lower, sooner = (
        sum(scores["max"][seed]["curve_max"] < scores[other][seed]["curve_max"] - 1e-6 for seed in range(SEEDS))
        for other in ("uniform", "longer")
    )
    columns = [f"{what}, {name}" for what in ("highest", "mean") for name in COLUMNS]
    head = ["seed", "worse end", "straight line, highest", *columns]
    verdict = (
        f"On equal budgets (digits) the maximum objective ends at a lower highest loss than the uniform one for "
        f"{lower} of {SEEDS} pairs of ends; in equal time, a third more steps (longer), for {sooner}:"
    )
    return write_table(head, rows), verdict


GARIPOV_CURVE = _Curves()
