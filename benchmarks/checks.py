"""What the checks of a network cost, in evaluations of the few examples that they are made on.

    OMP_WAIT_POLICY=passive python benchmarks/checks.py

Ratios within one process, medians of rounds in turn. The comparison of a copy, called functionally, with the user's
own module with the same weights in place, which is made on two examples, beside one call on eight, and on 500.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

import lossatlas as la
from lossatlas.engine.checking import check_network
from lossatlas.engine.faithful import check_faithful
from lossatlas.engine.network import CHECKED_EXAMPLES, Network

ROUNDS = 15


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def measured(module: torch.nn.Module, shape: tuple[int, ...]) -> tuple[float, float, float]:
    """Seconds of a call on the few examples, of the comparison, and of a call on a group."""
    x, y = torch.randn(500, *shape), torch.randint(10, (500,))
    problem, split = la.Problem(module, la.CrossEntropy()), la.Split((x, y))
    chart = la.slice_around(module, ("random",))
    network = Network(problem, la.WeightSpace(module), la.FrozenStatistics(), chart)
    check_network(network, split)
    two, few, group = (split.take(torch.arange(count)) for count in (2, CHECKED_EXAMPLES, 500))
    twin = network.copied().eval()

    def call(module: torch.nn.Module, params: dict[str, torch.Tensor]) -> list[object]:
        return [network.handed.called(module, params, two)]

    works: list[Callable[[], object]] = [
        lambda: network.handed.called(network.module, {}, few),
        lambda: check_faithful(network.original, twin, sorted(network.varied), call),
        lambda: network.handed.called(network.module, {}, group),
    ]
    with torch.no_grad():
        rounds = [[seconds(work) for work in works] for _ in range(ROUNDS)]
    once, checks, whole = (statistics.median(column) for column in zip(*rounds, strict=True))
    return once, checks, whole


def main() -> None:
    grey, colour = (1, 28, 28), (3, 32, 32)
    models = {
        "mlp": (la.MLP().build(grey, 10), grey),
        "conv": (la.Conv().build(grey, 10), grey),
        "resnet20": (la.ResNet(depth=20).build(colour, 10), colour),
    }
    print(f"{'network':<10}{'8 examples':>12}{'comparison':>13}{'ratio':>8}{'of a group of 500':>20}")
    for name, (module, shape) in models.items():
        once, checks, whole = measured(module, shape)
        print(f"{name:<10}{1e3 * once:>10.2f}ms{1e3 * checks:>11.2f}ms{checks / once:>8.1f}{checks / whole:>20.2f}")


if __name__ == "__main__":
    main()
