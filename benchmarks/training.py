"""The speed of `lossatlas train` beside a hand-written loop over tensors in memory, in turns in one process.

python benchmarks/training.py                                     conv on images like FashionMNIST's
python benchmarks/training.py --model mlp --json FILE
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median

from lossatlas.cli.process import settle

settle()

import torch
from rich.console import Console
from torch import nn

import lossatlas as la
from lossatlas.models import MODELS
from lossatlas.schedules import SCHEDULES
from lossatlas.training import Training, parse_optimizer

EXAMPLES, SHAPE, CLASSES = 8192, (1, 28, 28), 10


def by_hand(module: nn.Module, images: torch.Tensor, labels: torch.Tensor, batch: int, steps: int) -> float:
    """Seconds of so many steps of Adam, as one writes them down."""
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    order = torch.randperm(len(images))
    started = time.perf_counter()
    for step in range(steps):
        rows = order[(step * batch) % len(images) :][:batch]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(images[rows]), labels[rows])
        loss.backward()
        optimizer.step()
    return time.perf_counter() - started


def ours(module: nn.Module, images: torch.Tensor, labels: torch.Tensor, batch: int, steps: int) -> float:
    """Seconds of as many steps of a :class:`Training`, with what it notes of each."""
    training = Training(
        la.Problem(module, la.CrossEntropy()), la.WeightSpace(module), la.Split((images, labels)), epochs=100,
        optimizer=parse_optimizer("adam"), schedule=SCHEDULES["constant"](), batch_size=batch,
    )  # fmt: skip
    started = time.perf_counter()
    for _ in range(steps):
        training.step()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description="Time trainings.")
    parser.add_argument("--model", default="conv", choices=list(MODELS))
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record there as well")
    options = parser.parse_args()
    images, labels = torch.randn(EXAMPLES, *SHAPE), torch.randint(CLASSES, (EXAMPLES,))
    modules = [MODELS[options.model]().build(SHAPE, CLASSES) for _ in range(2)]
    times = [
        [
            run(module, images, labels, options.batch_size, options.steps)
            for run, module in zip((by_hand, ours), modules, strict=True)
        ]
        for _ in range(options.rounds)
    ]
    hand, own = (median(column[i] for column in times) / options.steps for i in range(2))
    record = {
        "model": options.model, "batch_size": options.batch_size, "hand_ms": 1e3 * hand, "train_ms": 1e3 * own,
        "of_hand": median(a / b for a, b in times),
    }  # fmt: skip
    Console(width=100).print(
        f"{options.model}, {options.batch_size} images: by hand {1e3 * hand:.1f} ms a step, "
        f"lossatlas {1e3 * own:.1f} ms; "
        f"{record['of_hand']:.2f} of the hand-written loop's speed"
    )
    if options.json:
        options.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
