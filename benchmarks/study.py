"""What shortens the way to a picture: variants of the default fit at one budget, three seeds each.

Every variant differs in what its row says from the defaults, with cells drawn at boundaries only. A row's numbers are
the held-out gap (400 random cells, 1,000 test images) when the budget is used up, and the seconds of fitting until that
gap was 0.8.

    python benchmarks/study.py                                skull 40x40 on digits, 20 s a fit; about an hour
    python benchmarks/study.py --variants "images 16" Adam    some of them
    python benchmarks/study.py --data fashion_mnist --folder DIR --seconds 120
    python benchmarks/study.py --json FILE
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from lossatlas.cli.process import settle

settle()

import torch
from rich.console import Console
from rich.table import Table
from time_to_pattern import SHARED, HeldOut
from torch import Tensor

from lossatlas.fitting import Fit
from lossatlas.objectives import CoarseToFine, Objective, Pattern, Stage
from lossatlas.objectives.objective import SampledPoints
from lossatlas.recipes import FitConfig
from lossatlas.recipes.fit import build_fit

SEEDS = 3
TARGET = 0.8
Change = Callable[[Fit], None]


@dataclass(frozen=True)
class Variant:
    """What a row changes: settings, the fit that they make, and what stands for the chart when it is looked at."""

    settings: dict[str, Any] = field(default_factory=dict)
    change: Change | None = None
    averaged: float | None = None
    """Decay of an exponential average of the chart's parameters, which is what is measured then."""


def optimizer(kind: type[torch.optim.Optimizer], lr: float, **options: Any) -> Variant:
    """Another optimiser; the scale keeps its share of the learning rate."""

    def change(fit: Fit) -> None:
        groups = fit._optimizer.param_groups
        first = groups[0]["base_lr"]
        rates = [lr * group["base_lr"] / first for group in groups]
        fit._optimizer = kind(
            [{"params": g["params"], "lr": rate, "base_lr": rate} for g, rate in zip(groups, rates, strict=True)],
            lr=lr, **options,
        )  # fmt: skip

    return Variant(change=change)


def warm_up(share: float) -> Change:
    """The learning rate rises from nothing during the first share of the budget."""

    def change(fit: Fit) -> None:
        after = fit._schedule
        fit._schedule = lambda progress: after(progress) * min(1.0, (progress + 1e-3) / share)

    return change


class WorstFirst(Objective):
    """Hard cells: one half at random, the other half those of several times as many that were most wrong last time.

    A cell's last accuracy is remembered; cells that have never been sampled count as more wrong than any. The choice is
    not weighted back, so that the gradient is not that of the loss of the whole picture.
    """

    final = True
    stage = 0

    def __init__(self, pattern: Pattern, among: int) -> None:
        self.pattern, self.among = pattern, among
        self.axes, self.most_points = pattern.axes, pattern.most_points
        self._wide = Pattern(pattern.picture, cells=among * pattern._low, clip=pattern.clip)
        self._wide._groups = [(coords, min(among * count, len(coords))) for coords, count in pattern._groups]
        self._wide._low = self._wide._groups[0][1]
        self._wrong: dict[tuple[float, ...], float] = {}

    def sample(self, seed: int, step: int, progress: float, running: Mapping[str, float]) -> SampledPoints:
        wide = self._wide.sample(seed, step, progress, running)
        groups = wide.coords.split([wide._low, len(wide.coords) - wide._low])
        picked = []
        for coords, (_, count) in zip(groups, self.pattern._groups, strict=True):
            half = count // 2
            wrong = [self._wrong.get(tuple(row), 2.0) for row in coords[half:].tolist()]
            worst = torch.tensor(wrong).argsort(descending=True, stable=True)[: count - half]
            picked += [coords[:half], coords[half:][worst]]
        points = type(wide)(torch.cat(picked), self.pattern._low, self.pattern.clip)
        report = points.report

        def remembered(metrics: dict[str, Tensor]) -> dict[str, float]:
            for row, (k, value) in zip(points.coords.tolist(), enumerate(metrics["accuracy"].tolist()), strict=True):
                self._wrong[tuple(row)] = 1 - value if k < points._low else value
            return report(metrics)

        points.report = remembered
        return points

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        raise NotImplementedError("a study's fits are not resumed")


def worst_first(among: int) -> Change:
    def change(fit: Fit) -> None:
        staged = fit.objective
        fit.objective = CoarseToFine(
            [Stage(WorstFirst(stage.objective, among), stage.share) for stage in staged.stages], staged.there
        )

    return change


VARIANTS: dict[str, Variant] = {
    "defaults": Variant(),
    "images 8": Variant({"batch_size": 8}),
    "images 16": Variant({"batch_size": 16}),
    "images 32": Variant({"batch_size": 32}),
    "images 128, cells 16": Variant({"batch_size": 128, "cells": 16}),
    "images 16, cells 16": Variant({"batch_size": 16, "cells": 16}),
    "images 16, cells 64": Variant({"batch_size": 16, "cells": 64}),
    "images 16, cells 128": Variant({"batch_size": 16, "cells": 128}),
    "images 4, cells 64": Variant({"batch_size": 4, "cells": 64}),
    "lr 2.5e-3": Variant({"lr": 2.5e-3}),
    "lr 1e-2": Variant({"lr": 1e-2}),
    "scale's lr x 4": Variant({"scale_lr": 2e-2}),
    "scale's lr / 4": Variant({"scale_lr": 1.25e-3}),
    "scale 1 at the start": Variant({"scale": 1.0}),
    "scale 4 at the start": Variant({"scale": 4.0}),
    "constant rate": Variant({"schedule": "constant"}),
    "cosine": Variant({"schedule": "cosine"}),
    "warm-up 5 %": Variant(change=warm_up(0.05)),
    "no coarse pictures": Variant({"coarse": (), "shares": (1.0,)}),
    "coarse 1/4, 1/2; 20/30/50 %": Variant({"coarse": (0.25, 0.5)}),
    "coarse 1/2; 30/70 %": Variant({"coarse": (0.5,), "shares": (0.3, 0.7)}),
    "coarse shares 10/20/70 %": Variant({"shares": (0.1, 0.2, 0.7)}),
    "a coarse picture there at .8": Variant({"there": 0.8}),
    "all cells drawn": Variant({"boundary_only": False}),
    "held origin": Variant({"train_origin": False}),
    "clip of cells": Variant({"clip": "cell"}),
    "clip at 5 nats": Variant({"threshold": 5.0}),
    "betas .9, .999": Variant({"betas": (0.9, 0.999)}),
    "betas .8, .95": Variant({"betas": (0.8, 0.95)}),
    "images 32, betas .8, .95": Variant({"batch_size": 32, "betas": (0.8, 0.95)}),
    "worst of 4 x as many cells": Variant(change=worst_first(4)),
    "averaged, decay .98": Variant(averaged=0.98),
    "averaged, constant rate": Variant({"schedule": "constant"}, averaged=0.98),
    "AdamW": optimizer(torch.optim.AdamW, 5e-3, betas=(0.9, 0.99)),
    "NAdam": optimizer(torch.optim.NAdam, 5e-3, betas=(0.9, 0.99)),
    "RAdam": optimizer(torch.optim.RAdam, 5e-3, betas=(0.9, 0.99)),
    "Adamax": optimizer(torch.optim.Adamax, 1e-2),
    "RMSprop": optimizer(torch.optim.RMSprop, 2e-3),
    "SGD with momentum": optimizer(torch.optim.SGD, 2e-2, momentum=0.9),
    "Adagrad": optimizer(torch.optim.Adagrad, 2e-2),
}


def outcome(name: str, shared: dict[str, Any], seed: int, held: int) -> dict[str, Any]:
    """One fit of a variant: its gap at the end and the seconds to the target."""
    variant = VARIANTS[name]
    config = FitConfig(**{**shared, **variant.settings, "seed": seed})
    recipe = build_fit(config)
    engine = recipe.build_engine(config.plan, buffers=recipe.buffers)
    fit = recipe.begin_fit(engine)
    if variant.change:
        variant.change(fit)
    look = HeldOut(recipe, engine, config.eval_batch_size, held)
    average = None if variant.averaged is None else {k: p.detach().clone() for k, p in recipe.chart.named_parameters()}
    reached, due, gap = None, 1.0, 0.0
    while not fit.done:
        fit.step()
        now = dict(recipe.chart.named_parameters())
        if average is not None:
            for key, value in average.items():
                value.lerp_(now[key].detach(), 1 - variant.averaged)
        if fit.seconds >= due or fit.done:
            looked = time.perf_counter()
            present = {key: value.detach().clone() for key, value in now.items()}
            recipe.chart.load_state_dict(average or present, strict=False)
            gap = look.gap()
            recipe.chart.load_state_dict(present, strict=False)
            # Looks take no more than a tenth of the time.
            due = max(fit.seconds + 10 * (time.perf_counter() - looked), 1.1 * fit.seconds)
            if gap >= TARGET and reached is None:
                reached = fit.seconds
    return {"variant": name, "seed": seed, "gap": gap, "steps": fit.steps, f"seconds_to_{TARGET:g}": reached}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare variants of a fit at one budget.")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=20.0, help="of fitting")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--folder", type=Path, help="where the data are, in the hub's layout")
    parser.add_argument("--pattern", default="skull")
    parser.add_argument("--plan", default="auto")
    parser.add_argument("--held", type=int, default=1000, help="test images that a gap is measured on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the records there as well")
    options = parser.parse_args()
    shared = {**SHARED, "pattern": options.pattern, "data": options.data, "seconds": options.seconds}
    shared |= {"plan": options.plan, "splits": ("test",)}
    if options.data != "digits":
        shared |= {"model": "conv", "data_options": {"folder": str(options.folder)} if options.folder else {}}

    console = Console(width=100)
    rows = []
    for name in options.variants:
        members = [outcome(name, shared, seed, options.held) for seed in range(options.seeds)]
        rows += members
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1))
        console.print(name, *(f"{row['gap']:.3f}" for row in members), *(row["steps"] for row in members))
    table = Table("variant", "gap", "of the seeds", f"s to {TARGET:g}", "steps")
    for name in options.variants:
        members = [row for row in rows if row["variant"] == name]
        times = [row[f"seconds_to_{TARGET:g}"] for row in members]
        table.add_row(
            name,
            f"{mean(row['gap'] for row in members):.3f}",
            " ".join(f"{row['gap']:.3f}" for row in members),
            " ".join("-" if time is None else f"{time:.1f}" for time in times),
            f"{mean(row['steps'] for row in members):.0f}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
