"""A survey against the plain loop that people write: the paper's convolutional network on FashionMNIST.

The plain side puts weights into the module point by point and goes over tensors in memory; it is timed at some points
between tiles of the survey, in turns, with two batch sizes, of which the better counts. The loss of both is compared.

    python benchmarks/survey.py --folder DIR                  51x51 points, 10,000 images
    python benchmarks/survey.py --grid 21 --examples 1000     smaller
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path
from statistics import median

from lossatlas.cli.process import settle

settle()

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import lossatlas as la
from lossatlas.directions import NORMALISATIONS, Around, make_directions
from lossatlas.metrics import choose_streaming_metrics
from lossatlas.surveying.survey import EVAL_BATCH_SIZE

BATCHES = (128, 500)
TURNS = 8


def plain(module: nn.Module, weights: Tensor, images: Tensor, labels: Tensor, batch: int) -> tuple[float, float]:
    """Loss and accuracy of one point."""
    nn.utils.vector_to_parameters(weights, module.parameters())
    loss = right = 0.0
    with torch.no_grad():
        for start in range(0, len(images), batch):
            outputs = module(images[start : start + batch])
            target = labels[start : start + batch]
            loss += float(nn.functional.cross_entropy(outputs, target, reduction="sum"))
            right += float((outputs.argmax(dim=1) == target).sum())
    return loss / len(images), right / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="FashionMNIST in the hub's layout; default downloads it")
    parser.add_argument("--grid", type=int, default=51)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--plan", default="auto")
    parser.add_argument(
        "--eval_batch_size", type=int, default=EVAL_BATCH_SIZE, help="examples that the survey evaluates together"
    )
    arguments = parser.parse_args()
    options = {"folder": str(arguments.folder)} if arguments.folder else {}
    split = la.load_data("fashion_mnist", options).splits["test"]
    split = split.subset(arguments.examples, torch.Generator().manual_seed(0))
    images, labels = split.take(torch.arange(len(split)))
    torch.manual_seed(0)
    module = la.Conv().build((1, 28, 28), 10).eval()
    space = la.WeightSpace(module)
    around = Around(space, space.vector_of(module), NORMALISATIONS["filter"](), without_vectors=True)
    chart = la.Slice(around.origin, make_directions(["random", "random"], around)[0])
    problem, together = la.Problem(module, la.CrossEntropy()), arguments.eval_batch_size
    engine = la.engine_for(
        problem, chart, split, buffers=la.FrozenStatistics(), plan=arguments.plan, steps=False,
        eval_batch_size=together, evaluations=arguments.grid**2 * math.ceil(len(split) / together),
    )  # fmt: skip
    metrics = choose_streaming_metrics(problem.loss)
    coords = torch.from_numpy(np.stack(np.meshgrid(*[np.linspace(-1, 1, arguments.grid)] * 2, indexing="ij"), axis=-1))
    coefficients = chart.coefficients(coords.reshape(-1, 2).float())
    chunk = max(16, engine.plan.evaluate.points)
    own, controls = copy.deepcopy(module), chart.controls()
    ours: list[float] = []
    theirs: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    worst, evaluated, begun = 0.0, 0.0, time.perf_counter()
    turns = np.linspace(0, len(coefficients) - 1, TURNS).astype(int) // chunk
    for index, start in enumerate(range(0, len(coefficients), chunk)):
        points = coefficients[start : start + chunk]
        begin = time.perf_counter()
        found = engine.evaluate(points, controls, split, metrics, together)
        ours.append((time.perf_counter() - begin) / len(points))
        evaluated += time.perf_counter() - begin
        if index in turns:
            for batch in BATCHES:
                begin = time.perf_counter()
                loss, _ = plain(own, points[0] @ controls, images, labels, batch)
                theirs[batch].append(time.perf_counter() - begin)
            worst = max(worst, abs(loss / float(found["loss"][0]) - 1))
    best = min(median(times) for times in theirs.values())
    size = f"{arguments.grid}x{arguments.grid} points, {len(split):,} images"
    table = Table(title=f"{size}, {torch.get_num_threads()} threads")
    for column in ("", "ms per point", "us per point and image"):
        table.add_column(column, justify="right")
    for name, seconds in (
        (f"lossatlas ({engine.plan.evaluate.strategy}, {engine.plan.evaluate.points} points)", median(ours)),
        *((f"plain loop, batches of {batch}", median(times)) for batch, times in theirs.items()),
    ):
        table.add_row(name, f"{1e3 * seconds:.1f}", f"{1e6 * seconds / len(split):.1f}")
    console = Console()
    console.print(table)
    console.print(f"{best / median(ours):.2f} times the plain loop; largest relative difference of losses {worst:.1e}")
    console.print(f"all points in {evaluated:.0f} s, with the plain side {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
