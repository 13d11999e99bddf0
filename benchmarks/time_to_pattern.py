"""How long it takes until the picture is there: seconds of fitting until a held-out gap of 0.5 and of 0.8.

The presets ``fast`` and ``paper`` on the same picture, network and data, each with its own budget, three seeds each. A
preset that has not got there at the end, or when the cap is reached, counts as "more than" the cap. The held-out gap is
that of a random 400 cells on the test images, looked at now and then with the clock stopped.

    python benchmarks/time_to_pattern.py                        skull 40x40 on digits; up to an hour
    python benchmarks/time_to_pattern.py --presets fast         what the defaults do
    python benchmarks/time_to_pattern.py --json FILE
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lossatlas.cli.process import settle

settle()

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import lossatlas as la
from lossatlas.metrics import choose_metrics
from lossatlas.recipes import PRESETS, FitConfig
from lossatlas.recipes.fit import FitRecipe, build_fit

TARGETS = (0.5, 0.8)
CELLS = 400
LOOK = 1.15
"""The next look is when this many times as many seconds have gone by."""
SHARED = {
    "pattern": "skull", "size": "40", "model": "mlp", "data": "digits", "boundary_only": True, "examples": "2000",
}  # fmt: skip


class HeldOut:
    """The held-out gap of a recipe's chart as it stands: of some random cells, on test images."""

    def __init__(self, recipe: FitRecipe, engine: la.Engine, group: int, examples: int | None = None) -> None:
        picture, test = recipe.picture, next(iter(recipe.surveyed.values()))
        coords = torch.from_numpy(picture.coords()).reshape(-1, len(picture.axes))
        rows = torch.from_numpy(np.random.default_rng(0).permutation(len(coords))[:CELLS].copy())
        self._coords, self._low = coords[rows], torch.from_numpy(picture.low.reshape(-1))[rows]
        self._test = test if examples is None else la.Split(test.take(torch.arange(min(examples, len(test)))))
        self._chart, self._engine, self._group = recipe.chart, engine, group
        self._metrics = choose_metrics(recipe.problem.loss, ["accuracy"])

    def gap(self) -> float:
        """Mean accuracy of low cells less that of high ones."""
        with torch.no_grad():
            controls = self._chart.controls()
            coefficients = self._chart.coefficients(self._coords.to(controls))
        found = self._engine.evaluate(coefficients, controls, self._test, self._metrics, self._group)["accuracy"]
        return float(found[self._low].mean() - found[~self._low].mean())


def seconds_to(preset: str, seed: int, cap: float) -> dict[str, Any]:
    """Seconds of fitting until each target, None where the cap came first, and where it stood at the end."""
    settings = {**PRESETS[preset], **SHARED, "seed": seed}
    config = FitConfig(**settings)
    recipe = build_fit(config)
    engine = recipe.build_engine(config.plan, buffers=recipe.buffers)
    fit = recipe.begin_fit(engine)
    held_out = HeldOut(recipe, engine, config.eval_batch_size)
    reached: dict[float, float] = {}
    found, look = 0.0, 1.0
    while not fit.done and fit.seconds < cap and len(reached) < len(TARGETS):
        fit.step()
        if fit.seconds >= look or fit.done or fit.seconds >= cap:
            look = max(look + 1.0, LOOK * look)
            found = held_out.gap()
            for target in TARGETS:
                if found >= target:
                    reached.setdefault(target, fit.seconds)
    return {
        "preset": preset, "seed": seed, "steps": fit.steps, "seconds": fit.seconds, "gap": found,
        **{f"seconds_to_{target:g}": reached.get(target) for target in TARGETS},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Time fits until their picture is there.")
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=["fast", "paper"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cap", type=float, default=600.0, help="seconds per fit")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the records there as well")
    options = parser.parse_args()
    rows = [seconds_to(preset, seed, options.cap) for preset in options.presets for seed in range(options.seeds)]

    console = Console(width=100)
    table = Table("preset", "seed", *(f"s to {target:g}" for target in TARGETS), "steps", "seconds", "gap then")
    for row in rows:
        times = [row[f"seconds_to_{target:g}"] for target in TARGETS]
        shown = [f"> {row['seconds']:.0f}" if time is None else f"{time:.1f}" for time in times]
        table.add_row(row["preset"], str(row["seed"]), *shown, str(row["steps"]), f"{row['seconds']:.0f}",
                      f"{row['gap']:.2f}")  # fmt: skip
    console.print(table)
    for target in TARGETS:
        medians = {preset: _median(rows, preset, target) for preset in options.presets}
        if {"fast", "paper"} <= set(medians) and medians["fast"][1]:
            (quick, _), (slow, there) = medians["fast"], medians["paper"]
            console.print(f"gap {target:g}: fast is {'' if there else 'more than '}{slow / quick:.1f} times as fast")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def _median(rows: list[dict[str, Any]], preset: str, target: float) -> tuple[float, bool]:
    """Over the seeds, and whether that one got there; one that did not counts as longer than all that did."""
    members = [row for row in rows if row["preset"] == preset]
    times = [(row[f"seconds_to_{target:g}"], row["seconds"]) for row in members]
    ordered = sorted((time is None, spent if time is None else time) for time, spent in times)
    late, seconds = ordered[len(ordered) // 2]
    return seconds, not late


if __name__ == "__main__":
    main()
