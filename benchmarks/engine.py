"""How fast the engine's strategies are, beside a plain functional call per point: ``make bench``.

Prints model evaluations per second (points x examples) and, measured in the same run, the ratio to the plain loop. The
best of a few runs: machines are shared, and ratios within one run are what counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from rich.console import Console
from rich.table import Table
from torch.func import functional_call

import lossatlas as la
from lossatlas.engine import STRATEGIES
from lossatlas.engine.plan import Plan
from lossatlas.metrics import metrics_for

POINTS = 50
SECONDS = 3.0
NETWORKS = {
    "mlp 64-64-64-64-64-10": (la.MLP(), (1, 8, 8)),
    "conv 8-32-64, pooled": (la.Conv(), (1, 28, 28)),
}


def best(run: Callable[[], object]) -> float:
    """The shortest of the runs that fit into SECONDS, after a first."""
    run()
    shortest, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        begin = time.perf_counter()
        run()
        shortest = min(shortest, time.perf_counter() - begin)
    return shortest


def plain(problem: la.Problem, weights: torch.Tensor, batch: tuple[torch.Tensor, torch.Tensor], train: bool) -> None:
    """What research code does at its best: a functional call per point, default layout, data in memory."""
    space = la.WeightSpace(problem.module)
    for point in weights:
        params = {k: v.requires_grad_(train) for k, v in space.unflatten(point.detach()).items()}
        with torch.set_grad_enabled(train):
            loss = problem.loss(functional_call(problem.module, params, (batch[0],)), batch[1]).mean()
        if train:
            torch.autograd.grad(loss, list(params.values()))


def main() -> None:
    table = Table("network", "service", "strategy", "evaluations/s", "over plain")
    size = 1024
    matrix = torch.randn(size, size)
    gemm = 2 * size**3 / best(lambda: matrix @ matrix) / 1e9
    for name, (family, shape) in NETWORKS.items():
        problem = la.Problem(family.build(shape, 10).eval(), la.CrossEntropy())
        chart = la.Plane.random(problem.module, initialiser=la.Xavier())
        coords = torch.rand(POINTS, 2) * 2 - 1
        with torch.no_grad():
            controls, coefficients = chart.controls(), chart.coefficients(coords)
        pattern = la.Pattern(la.picture("heart", 40), cells=POINTS // 2).draw(0, 0, 0.0)
        for service, examples in (("fit", 64), ("evaluate", 500)):
            split = la.Split((torch.randn(examples, *shape), torch.randint(10, (examples,))))
            weights = coefficients @ controls
            base = best(lambda w=weights, d=split.data, s=service, p=problem: plain(p, w, d, s == "fit"))
            rows = {"plain": base}
            for strategy in STRATEGIES:
                plan = Plan.of(strategy, POINTS, torch.get_num_threads())
                engine = la.engine_for(problem, chart, split, plan=plan)
                if service == "fit":
                    rows[strategy] = best(
                        lambda e=engine, d=split.data, c=coefficients, k=controls, f=pattern: e.pullback(c, k, d, f)
                    )
                else:
                    metrics = metrics_for(problem.loss)
                    rows[strategy] = best(
                        lambda e=engine, s=split, c=coefficients, k=controls, m=metrics: e.evaluate(c, k, s, m, 500)
                    )
            for strategy, seconds in rows.items():
                rate = POINTS * examples / seconds
                table.add_row(name, service, strategy, f"{rate:,.0f}", f"{base / seconds:.2f}")
    console = Console()
    console.print(f"{torch.get_num_threads()} threads, fp32 GEMM {gemm:.0f} GFLOP/s, {POINTS} points")
    console.print(table)


if __name__ == "__main__":
    main()
