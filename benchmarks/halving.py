"""Which settings suit a network: variants of a fit, the better part of which go on to longer budgets.

Successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943): all variants have the first budget and one seed, the
best of them the next budget, and the last ones all seeds. Budgets are seconds of one core, not of the clock, so that
other work on the machine counts for little. What is compared is the gap on *training* images that were held out (400
random cells, 500 images); test images are not looked at.

    python benchmarks/halving.py --folder DIR --json FILE         `conv`, the skull at 40x40 on FashionMNIST
    python benchmarks/halving.py --json FILE --variants base "Muon 5e-3"
    python benchmarks/halving.py --json FILE --data cifar10 --pattern heart --size 32

A run that was stopped goes on with the fits that FILE does not have yet.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from lossatlas.cli.process import settle

settle()

import torch
from study import optimizer, warm_up
from time_to_pattern import HeldOut

from lossatlas.fitting import Fit
from lossatlas.fitting.budget import Budget
from lossatlas.objectives import CoarseToFine, Pattern, Stage
from lossatlas.recipes import FitConfig
from lossatlas.recipes.fit import build_fit

SHARED: dict[str, Any] = {
    "pattern": "skull", "size": "40", "model": "conv", "data": "fashion_mnist", "boundary_only": True,
    "splits": ("holdout",), "holdout": 1000, "examples": "500",
}  # fmt: skip
CONVOLUTIONAL: dict[str, Any] = {
    "coarse": (0.25, 0.5), "cells": 16, "batch_size": 16, "optimizer": "adam", "lr": 2e-3, "scale_lr": 8e-3,
}  # fmt: skip
"""What the first study of convolutional networks had come to."""
Change = Callable[[Fit], None]


@dataclass(frozen=True)
class CoreSeconds(Budget):
    """A budget in seconds of the processor's time, of all threads together."""

    count: float
    start: float = field(default_factory=time.process_time)

    def progress(self, steps: int, seconds: float) -> float:
        return (time.process_time() - self.start) / self.count


@dataclass(frozen=True)
class Variant:
    """What differs from ``SHARED``: settings, the fit they make, and the decay of an average of its weights."""

    settings: dict[str, Any] = field(default_factory=dict)
    change: Change | None = None
    averaged: float | None = None


def staged(make: Callable[[Any, int, int], Pattern]) -> Change:
    """Other objectives for the stages: of the picture, the number of the stage and how many there are."""

    def change(fit: Fit) -> None:
        stages = fit.objective.stages
        fit.objective = CoarseToFine(
            [Stage(make(s.objective.picture, k, len(stages)), s.share) for k, s in enumerate(stages)],
            fit.objective.there,
        )

    return change


def cells_by_stage(*counts: int) -> Change:
    return staged(lambda picture, k, _: Pattern(picture, cells=counts[min(k, len(counts) - 1)], boundary_only=True))


VARIANTS: dict[str, Variant] = {
    "base": Variant(),
    "defaults of digits": Variant({"coarse": (0.3, 0.6), "cells": 32, "batch_size": 32, "lr": 5e-3, "scale_lr": None}),
    "cells 32": Variant({"cells": 32}),
    "cells 8": Variant({"cells": 8}),
    "images 8": Variant({"batch_size": 8}),
    "images 32": Variant({"batch_size": 32}),
    "cells 32, images 8": Variant({"cells": 32, "batch_size": 8}),
    "cells 8, images 32": Variant({"cells": 8, "batch_size": 32}),
    "cells 8, 16, 32 by stage": Variant({"cells": 32}, cells_by_stage(8, 16, 32)),
    "lr 1e-3": Variant({"lr": 1e-3, "scale_lr": 4e-3}),
    "lr 4e-3": Variant({"lr": 4e-3, "scale_lr": 16e-3}),
    "scale's rate x 1": Variant({"scale_lr": 2e-3}),
    "scale's rate x 12": Variant({"scale_lr": 24e-3}),
    "scale 1 at the start": Variant({"scale": 1.0}),
    "scale 3 at the start": Variant({"scale": 3.0}),
    "coarse .3 .6": Variant({"coarse": (0.3, 0.6)}),
    "coarse .25 .5 at 10/20/70 %": Variant({"shares": (0.1, 0.2, 0.7)}),
    "coarse .5 at 20/80 %": Variant({"coarse": (0.5,), "shares": (0.2, 0.8)}),
    "half of the cells at boundaries": Variant({"boundary_only": False, "boundary_share": 0.5}),
    "the picture's own share at boundaries": Variant({"boundary_only": False}),
    "betas .9 .99": Variant({"betas": (0.9, 0.99)}),
    "cosine": Variant({"schedule": "cosine"}),
    "warm-up 5 %": Variant(change=warm_up(0.05)),
    "average of the last weights": Variant(averaged=0.99),
    "NAdam": Variant(change=optimizer(torch.optim.NAdam, 2e-3, betas=(0.8, 0.95)).change),
    "Muon 2e-3": Variant({"optimizer": "muon", "lr": 2e-3}),
    "Muon 5e-3": Variant({"optimizer": "muon", "lr": 5e-3}),
    "Muon 1e-2": Variant({"optimizer": "muon", "lr": 1e-2}),
    "Muon 3e-3": Variant({"optimizer": "muon", "lr": 3e-3}),
    "Muon 5e-3, cells 32, images 8": Variant({"optimizer": "muon", "lr": 5e-3, "cells": 32, "batch_size": 8}),
    "Muon 5e-3, scale's rate x 1": Variant({"optimizer": "muon", "lr": 5e-3, "scale_lr": 2e-3}),
}


def measure(name: str, shared: dict[str, Any], seconds: float, seed: int) -> dict[str, Any]:
    """One fit of a variant."""
    variant = VARIANTS[name]
    config = FitConfig(**{**shared, **variant.settings, "seed": seed, "steps": 1})
    recipe = build_fit(config)
    engine = recipe.build_engine(config.plan, buffers=recipe.buffers)
    fit = recipe.begin_fit(engine)
    if variant.change:
        variant.change(fit)
    average = {k: p.detach().clone() for k, p in recipe.chart.named_parameters()} if variant.averaged else {}
    running = []
    fit.budget = CoreSeconds(seconds)
    while not fit.done:
        record = fit.step()
        for key, value in average.items():
            value.lerp_(dict(recipe.chart.named_parameters())[key].detach(), 1 - variant.averaged)
        if not fit.steps % 100:
            running.append([fit.steps, record["stage"], round(fit.running.get("gap", float("nan")), 3)])
    recipe.chart.load_state_dict(average, strict=False)
    gap = HeldOut(recipe, engine, config.eval_batch_size).gap()
    return {
        "variant": name, "seed": seed, "budget": seconds, "gap": gap, "steps": fit.steps, "seconds": fit.seconds,
        "plan": engine.plan.pullback.strategy, "running": running,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Successive halving of variants of a fit.")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--budgets", type=float, nargs="+", default=[150.0, 400.0, 1000.0], help="seconds of a core")
    parser.add_argument("--keep", type=int, nargs="+", default=[8, 2], help="variants that go on after each budget")
    parser.add_argument("--seeds", type=int, default=3, help="of the last budget")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", default=SHARED["data"])
    parser.add_argument("--folder", help="where the data are, in the hub's layout")
    parser.add_argument("--pattern", default=SHARED["pattern"])
    parser.add_argument("--size", default=SHARED["size"])
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="write the records there")
    parser.add_argument("--one", nargs=3, metavar=("NAME", "SECONDS", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    shared = {**SHARED, "data": options.data, "pattern": options.pattern, "size": options.size}
    shared |= {"data_options": {"folder": options.folder}} if options.folder else {}
    shared |= CONVOLUTIONAL if options.data != "digits" else {"model": "mlp", "holdout": 200}
    if options.pattern == "heart":
        shared["boundary_only"] = False
    if options.one:
        name, seconds, seed = options.one
        print(json.dumps(measure(name, shared, float(seconds), int(seed))))
        return

    rows: list[dict[str, Any]] = json.loads(options.json.read_text()) if options.json.exists() else []

    def run(job: tuple[str, float, int]) -> None:
        if any((row["variant"], row["budget"], row["seed"]) == job for row in rows):
            return
        command = [sys.executable, __file__, *sys.argv[1:], "--one", job[0], str(job[1]), str(job[2])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(job, done.stderr[-500:], flush=True)
            return
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        options.json.write_text(json.dumps(rows))
        print(f"{job[0]:35} {job[1]:6g} s  seed {job[2]}  gap {row['gap']:.3f}  {row['steps']} steps", flush=True)

    names: Sequence[str] = options.variants
    with ThreadPoolExecutor(options.workers) as pool:
        for rung, budget in enumerate(options.budgets):
            last = rung == len(options.budgets) - 1
            list(
                pool.map(run, [(name, budget, seed) for seed in range(options.seeds if last else 1) for name in names])
            )
            gaps = {
                name: [row["gap"] for row in rows if (row["variant"], row["budget"]) == (name, budget)]
                for name in names
            }
            names = sorted((name for name in names if gaps[name]), key=lambda name: -mean(gaps[name]))
            print(f"after {budget:g} s of a core:", *(f"{name} {mean(gaps[name]):.3f};" for name in names), flush=True)
            names = names[: options.keep[rung]] if not last else names


if __name__ == "__main__":
    main()
