"""What decorrelated members cost: time of a step and memory, beside members without the term and single networks.

Each case runs in a fresh process: 16 members of an MLP on digits in a plane or a volume, with weight 0 (one pass) and
0.3 (two passes) of the term, one network as it is, and one of about three times as many parameters. Four members are
evaluated at a time. `held` are parameters, gradients and the moments of Adam, `grown` is by how much the peak of the
process exceeds that before the first step; `ms a step` is the fastest of 30. Takes about a minute on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

import lossatlas as la
from lossatlas.fitting import Fit
from lossatlas.jobs.estimate import measure_peak_bytes
from lossatlas.training import parse_optimizer

CASES = ("plane, weight 0", "plane, weight 0.3", "volume, weight 0.3", "one network", "one of 3n parameters")
BATCH = 32
STEPS = 30


def begin(case: str, hidden: int, members: int) -> tuple[Callable[[], object], Callable[[], int]]:
    """Make a fit or a training; returns its step, and what counts the bytes that it holds."""
    data = la.load_data("digits")
    width = round(hidden * 3**0.5) if "3n" in case else hidden
    module = la.MLP(hidden=(width, width)).build((1, 8, 8), 10)
    problem = la.Problem(module, la.CrossEntropy())
    if "one" in case:
        training = la.Training(
            problem, la.WeightSpace(module), data.train, epochs=1000, batch_size=BATCH,
            optimizer=parse_optimizer("adam"), schedule=la.Constant(),
        )  # fmt: skip
        return training.step, lambda: 4 * 4 * sum(parameter.numel() for parameter in module.parameters())
    place, _, weight = case.partition(", weight ")
    grid = la.MemberGrid(members, 3 if place == "volume" else 2)
    chart = la.Plane.random(module, len(grid.axes), initialiser=la.Xavier(), scale=2.0)
    engine = la.engine_for(problem, chart, data.train, plan="batched", points=4)
    objective = la.Decorrelated(grid, weight=float(weight), cells=members)
    fit = Fit(chart, objective, engine, data.train, la.Steps(10**6), optimizer=la.Adam(), batch_size=BATCH)
    return fit.step, lambda: fit.held_bytes


def measure(case: str, hidden: int, members: int) -> dict[str, float]:
    """Time steps of one case, in this process."""
    torch.manual_seed(0)
    step, held = begin(case, hidden, members)
    before = measure_peak_bytes()
    seconds = []
    for _ in range(STEPS):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return {
        "seconds": min(seconds),
        "held": held() / 2**20,
        "grown": (measure_peak_bytes() - before) / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=512, help="width of the network")
    parser.add_argument("--members", type=int, default=16, help="number of members")
    parser.add_argument("--case", help="measure one case in this process, and print it as JSON")
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measure(given.case, given.hidden, given.members)))
        return
    command = [sys.executable, str(Path(__file__)), "--hidden", str(given.hidden), "--members", str(given.members)]
    found = {}
    for case in CASES:
        told = subprocess.run([*command, "--case", case], check=True, capture_output=True, text=True).stdout
        found[case] = json.loads(told)
    least = found[CASES[0]]["seconds"]
    print(f"{'':24}{'ms a step':>12}{'ratio':>8}{'held MiB':>10}{'grown MiB':>11}")
    for case, one in found.items():
        ratio = one["seconds"] / least
        print(f"{case:24}{1000 * one['seconds']:12.1f}{ratio:8.2f}{one['held']:10.1f}{one['grown']:11.1f}")


if __name__ == "__main__":
    main()
