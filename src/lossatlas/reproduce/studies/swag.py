"""Averages and ensembles at equal compute and at equal memory: SWA, SWAG, FGE, snapshots, networks, curves, planes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from lossatlas.recipes import Config, ConnectConfig, FitConfig, TrainConfig
from lossatlas.reproduce.settings import copy_problem
from lossatlas.reproduce.studies._ensembles import configure_scores, draw_ways, score_at, tabulate
from lossatlas.reproduce.study import Run, Study

__all__ = ["SWAG"]

BASE: dict[str, Any] = {
    "data": "cifar10", "model": "preresnet", "model_options": {"depth": 20}, "augment": ("crop", "flip"),
    "optimizer": "momentum,lr=0.1", "weight_decay": 3e-4, "epochs": 150, "batch_size": 128, "snapshots": "none",
}  # fmt: skip
SMALL: dict[str, Any] = {
    **BASE, "data": "fashion_mnist", "model": "conv", "model_options": {}, "augment": ("flip",), "epochs": 3,
    "batch_size": 100, "optimizer": "momentum,lr=0.05", "weight_decay": 5e-4,
}  # fmt: skip
EXAMPLES = 60_000
"""About the training examples of an epoch."""
SEEDS = 3
MEMBERS = 4
"""Networks that are held by the ways that keep networks; SWAG keeps as many vectors."""
SAMPLES = 20
"""Samples of SWAG's posterior."""
RANK = 16
"""Deviations that the posterior of higher rank holds."""
SINGLE, SWA, FGE, SNAPSHOTS = "one network", "SWA", "FGE", "snapshots"
LOW_RANK, HIGH_RANK = f"SWAG of rank {MEMBERS - 2}", f"SWAG of rank {RANK}"
SHORT, FULL = f"{MEMBERS} networks of 1/{MEMBERS} B", f"{MEMBERS} networks of 1 B"
CURVE, PLANE = "points of a curve", "points of a plane"
NAMES = {
    SINGLE: "single", SWA: "swa", LOW_RANK: "swag", HIGH_RANK: "swag-high", FGE: "fge", SNAPSHOTS: "snapshots",
    SHORT: "short", FULL: "full", CURVE: "curve", PLANE: "plane",
}  # fmt: skip
"""What the runs of scores are called."""
PLANE_STEP: dict[str, Any] = {"cells": 8, "batch_size": 32, "optimizer": "adam", "lr": 5e-3, "scale_lr": 5e-3}
"""Members and examples of each step of a plane's fit."""
COUPLED = 4 / 3
"""Passes of a step whose members are coupled: all are evaluated once more, without a gradient."""


@final
class _Ways(Study):
    title = "Maddox et al. 2019, and Izmailov, Garipov, Huang et al.: averages and ensembles at equal cost"

    def runs(self, scale: str) -> Mapping[str, Config]:
        base, found = BASE if scale == "paper" else SMALL, dict[str, Config]()
        for seed in range(SEEDS):
            found |= self._one_seed(base, seed)
        return found

    @staticmethod
    def _one_seed(base: Mapping[str, Any], seed: int) -> dict[str, Config]:
        """The trainings and scores of one seed."""

        def train(number: int = 0, **settings: Any) -> TrainConfig:
            return TrainConfig(**{**base, "seed": 100 * seed + number, "schedule": "linear", **settings})

        short = {f"{seed}-short-{k}": train(k, epochs=base["epochs"] / MEMBERS) for k in range(MEMBERS)}
        full = {f"{seed}-full-{k}": train(k) for k in range(MEMBERS)}
        cyclic = {"cycles": MEMBERS, "begin": 0.5, "high": 0.5, "low": 0.01}
        others: dict[str, Config] = {
            f"{seed}-swa": train(
                schedule="swa", schedule_options={"begin": 0.5, "low": 0.4}, average=f"epoch:{base['epochs'] / 40:g}",
                average_from=0.55, average_rank=RANK,
            ),
            f"{seed}-fge": train(schedule="fge", schedule_options=cyclic),
            f"{seed}-snapshots": train(schedule="warm_restarts", schedule_options={"cycles": MEMBERS}),
        }  # fmt: skip
        problem = train()
        budget = base["epochs"]
        shared = copy_problem(problem)
        others[f"{seed}-curve"] = ConnectConfig(
            **shared, between=(f"{seed}-full-0", f"{seed}-full-1"), steps=round(EXAMPLES * budget / 128), lr=0.05,
            weight_decay=5e-4, augment=base["augment"], seed=seed, splits=("test",), grid=(3,), plane=0,
            examples="1000", ensembles=False,
        )  # fmt: skip
        others[f"{seed}-plane"] = FitConfig(
            **shared, **PLANE_STEP, pattern="members:16", decorrelation=0.3, augment=base["augment"],
            steps=round(EXAMPLES * budget / (COUPLED * PLANE_STEP["cells"] * PLANE_STEP["batch_size"])), seed=seed,
            splits=("test",), examples="1000",
        )  # fmt: skip
        ways = {
            SINGLE: [*full][:2],  # of which the first counts
            SWA: [f"{seed}-swa@swa", f"{seed}-swa"],
            LOW_RANK: [f"{seed}-swa@swag:{SAMPLES}"],
            HIGH_RANK: [f"{seed}-swa@swag:{SAMPLES}"],
            FGE: [f"{seed}-fge@members"],
            SNAPSHOTS: [f"{seed}-snapshots@members"],
            SHORT: [*short],
            FULL: [*full],
            CURVE: [f"{seed}-curve@points:{MEMBERS + 1}"],
            PLANE: [f"{seed}-plane@low"],
        }
        scores = {
            f"{seed}-{NAMES[way]}-scores": configure_scores(
                problem,
                members,
                average_rank=RANK if way == HIGH_RANK else MEMBERS - 2,
                greedy=False,
                sample_seed=seed,
            )
            for way, members in ways.items()
        }
        return {**short, **full, **others, **scores}

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        ways = {
            way: [(runs[f"{seed}-{name}-scores"], 1 if way in (SINGLE, SWA) else None) for seed in range(SEEDS)]
            for way, name in NAMES.items()
        }
        shown = draw_ways({way: same[0] for way, same in ways.items()}, out)
        return "\n\n".join([_judge(ways), tabulate(ways), *shown]) + "\n"


def _judge(ways: Mapping[str, list[tuple[Run, int | None]]]) -> str:
    """State in words which ways are best at equal compute and at equal memory."""

    def average(way: str) -> float:
        return sum(score_at(run, "nll", count) for run, count in ways[way]) / len(ways[way])

    def order(names: tuple[str, ...]) -> str:
        return ", ".join(f"{name} {average(name):.4f}" for name in sorted(names, key=average))

    return (
        "Means over seeds of the negative log-likelihood, with a temperature, best first. At equal compute (the "
        f"training passes of one network): "
        f"{order((SINGLE, SWA, LOW_RANK, HIGH_RANK, FGE, SNAPSHOTS, SHORT, PLANE))}. At "
        f"equal memory ({MEMBERS} networks, or as many vectors; of a plane three): "
        f"{order((LOW_RANK, FGE, SNAPSHOTS, SHORT, FULL, PLANE))}; of these '{FULL}' took {MEMBERS} times the compute. "
        f"A curve needs two trained networks beside its own training: {average(CURVE):.4f}."
    )


SWAG = _Ways()
