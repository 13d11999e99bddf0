"""Fast geometric ensembling against independent training and snapshots, at one, two and three budgets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from lossatlas.exchange.ensemble import read_ensemble
from lossatlas.recipes import Config, TrainConfig
from lossatlas.reproduce.drawing import write_table
from lossatlas.reproduce.studies._ensembles import configure_scores, draw_ways, score_at, tabulate, write_spread
from lossatlas.reproduce.study import Run, Study
from lossatlas.schema import InEnsemble

__all__ = ["GARIPOV_ONLINE"]

BASE: dict[str, Any] = {
    "data": "cifar100", "model": "vgg", "model_options": {"depth": 16}, "augment": ("crop", "flip"),
    "optimizer": "momentum,lr=0.05", "weight_decay": 5e-4, "epochs": 200, "batch_size": 128, "snapshots": "none",
}  # fmt: skip
SMALL: dict[str, Any] = {
    **BASE, "data": "fashion_mnist", "model": "conv", "model_options": {}, "augment": ("flip",), "epochs": 3,
    "batch_size": 100,
}  # fmt: skip
BUDGETS, SEEDS = 3, 3
CYCLES = 4
"""Members of each training with cycles."""
SCHEDULES: dict[str, dict[str, Any]] = {
    "independent": {"schedule": "linear"},
    "FGE": {"schedule": "fge", "schedule_options": {"cycles": CYCLES, "begin": 0.5, "high": 0.5, "low": 0.01}},
    "snapshots": {"schedule": "warm_restarts", "schedule_options": {"cycles": CYCLES}},
}
"""The schedule of each way."""
PAPER_FGE: dict[str, Any] = {"cycles": 22, "begin": 0.78, "high": 0.2, "low": 0.01}
PUBLISHED = {"FGE": (74.6, 76.1, 76.6), "independent": (72.5, 74.8, 75.6)}
"""Test accuracies in per cent of VGG-16 on CIFAR-100 at one, two and three budgets: Garipov et al. 2018, table 1."""


@final
class _Online(Study):
    title = "Garipov et al. 2018, table 1: fast geometric ensembling against independent networks at equal budgets"

    def runs(self, scale: str) -> Mapping[str, Config]:
        paper, found = scale == "paper", dict[str, Config]()
        for seed in range(SEEDS):
            for way, schedule in SCHEDULES.items():
                chosen = schedule | ({"schedule_options": PAPER_FGE} if paper and way == "FGE" else {})
                configs = {
                    f"{way}-{seed}-{budget}": TrainConfig(
                        **{**(BASE if paper else SMALL), **chosen, "seed": BUDGETS * seed + budget}
                    )
                    for budget in range(BUDGETS)
                }
                found |= configs
                members = [name if way == "independent" else f"{name}@members" for name in configs]
                found[f"{way}-{seed}"] = configure_scores(
                    next(iter(configs.values())), members, greedy=False, sizes=_list_sizes(way, paper)
                )
        return found

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        scored = {way: [runs[f"{way}-{seed}"] for seed in range(SEEDS)] for way in SCHEDULES}
        sizes = {way: [*map(int, read_ensemble(same[0].path)[InEnsemble.COUNT].values)][-BUDGETS:]
                 for way, same in scored.items()}  # fmt: skip
        rows = []
        for way, same in scored.items():
            accuracies = [
                write_spread([100 * (1 - score_at(run, "error", count)) for run in same], 2) for count in sizes[way]
            ]
            published = " / ".join(map(str, PUBLISHED[way])) if way in PUBLISHED else None
            rows.append([way, *accuracies, published])
        ways = {
            f"{way}, {budget + 1} B": [(run, sizes[way][budget]) for run in same]
            for way, same in scored.items()
            for budget in range(BUDGETS)
        }
        shown = draw_ways({way: (same[0], None) for way, same in scored.items()}, out)
        head = ["way", *(f"accuracy (%) at {k + 1} B" for k in range(BUDGETS)), "published, VGG-16 on CIFAR-100"]
        return "\n\n".join([_judge(scored, sizes), write_table(head, rows), tabulate(ways), *shown]) + "\n"


def _list_sizes(way: str, paper: bool) -> tuple[int, ...]:
    """List the numbers of members at one, two and three budgets, after a single member."""
    if way == "independent":
        return tuple(range(1, BUDGETS + 1))
    cycles = PAPER_FGE["cycles"] if paper and way == "FGE" else CYCLES
    return (1, *(cycles * (k + 1) for k in range(BUDGETS)))


def _judge(scored: Mapping[str, list[Run]], sizes: Mapping[str, list[int]]) -> str:
    """State in words what the numbers say of FGE and independent networks."""
    verdicts = []
    for budget in range(BUDGETS):
        gains = [
            score_at(mine, "error", sizes["FGE"][budget]) - score_at(theirs, "error", sizes["independent"][budget])
            for mine, theirs in zip(scored["FGE"], scored["independent"], strict=True)
        ]
        better = sum(gain < 0 for gain in gains)
        verdicts.append(
            f"at {budget + 1} B the error of FGE is {100 * abs(sum(gains)) / len(gains):.2f} points "
            f"{'below' if sum(gains) < 0 else 'above'} that of independent networks in the mean over {len(gains)} "
            f"seeds (below in {better})"
        )
    return (
        "B is the budget of one training. Members of several trainings are pooled, k trainings at k B. Measured: "
        f"{'; '.join(verdicts)}. Published, for VGG-16 on CIFAR-100: below at all three, by 2.1, 1.3 and 1.0 points."
    )


GARIPOV_ONLINE = _Online()
