"""How fast a survey is of what a DataLoader gives, as a share of its speed on tensors.

    python benchmarks/loader.py [--repeats 9] [--points 5]

One process, repeats in turn, medians: tensors; a loader whose items are stacked; one whose items are padded by a
collation of its own; a loader that is streamed, with and without workers. Each survey is 5 x 5 points around an MLP of
784-64-10 on 2,000 examples. Making the split (reading everything once, where it fits) is timed apart.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

import lossatlas as la

EXAMPLES = 2000


class Items(Dataset[Any]):
    """Pairs in a list."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.items = list(zip(images, labels.tolist(), strict=True))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        return self.items[row]


def padded(items: list[Any]) -> Any:
    """Stands for any collation that nothing is known of."""
    images = torch.nn.utils.rnn.pad_sequence([image for image, _ in items], batch_first=True)
    return images, default_collate([label for _, label in items])


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--points", type=int, default=5, help="points at a time: examples are gone over for each")
    arguments = parser.parse_args()
    images = torch.randn(EXAMPLES, 784, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(EXAMPLES) % 10
    items = Items(images, labels)
    makers: dict[str, Callable[[], la.Split]] = {
        "tensors": lambda: la.Split((images, labels)),
        "stacked": lambda: la.Split.of(DataLoader(items, batch_size=64, shuffle=True)),
        "padded": lambda: la.Split.of(DataLoader(items, batch_size=64, collate_fn=padded)),
        "streamed": lambda: la.Split.of(DataLoader(items, batch_size=64), memory=0.0),
        "streamed by 2 workers": lambda: la.Split.of(DataLoader(items, batch_size=64, num_workers=2), memory=0.0),
    }
    made = {name: seconds(make) for name, make in makers.items()}
    splits = {name: make() for name, make in makers.items()}
    module = torch.nn.Sequential(torch.nn.Linear(784, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    problem = la.Problem(module, la.CrossEntropy())
    chart = la.slice_around(module, ("random", "random"), seed=1)
    grid = la.make_grid(chart, (5, 5))
    plan = la.engine_for(problem, chart, splits["tensors"]).plan
    plan = replace(plan, evaluate=replace(plan.evaluate, points=arguments.points))
    times: dict[str, list[float]] = {name: [] for name in splits}
    for _ in range(arguments.repeats):
        for name, split in splits.items():
            times[name].append(seconds(lambda s=split: la.survey(chart, grid, problem, {"t": s}, plan=plan)))
    print(f"{plan.evaluate.strategy}, {plan.evaluate.points} points at a time")
    for name, taken in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["tensors"], taken, strict=True))
        print(f"{name:22} survey {statistics.median(taken):7.3f} s, {ratio:5.2f} of the speed of tensors; "
              f"made in {made[name]:.3f} s")  # fmt: skip


if __name__ == "__main__":
    main()
