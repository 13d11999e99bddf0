"""What scoring an ensemble costs beside the survey of its members: 50 points of a plane on 10,000 images, in turn.

    python benchmarks/ensembles.py
    python benchmarks/ensembles.py --members 50 --examples 10000 --model mlp --rounds 5

Both are evaluated by one engine under one plan: the survey folds loss and accuracy, the ensemble gathers probabilities
in a mapped file and scores their average in the given order, with temperatures and without pairwise scores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from lossatlas.cli.process import settle

settle()

import torch
from rich.console import Console
from rich.table import Table

import lossatlas as la
from lossatlas.data import Dataset, Split
from lossatlas.jobs.ensemble_evaluation import EnsembleEvaluation
from lossatlas.metrics import choose_streaming_metrics
from lossatlas.recipes import EnsembleConfig
from lossatlas.recipes.ensemble import build_ensemble
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.surveying import Surveyor

SHAPE = (1, 28, 28)


def make_problem(model: str, examples: int) -> tuple[ProblemRecipe, la.Plane]:
    """A network on random images of ten classes, and a plane through random weights."""
    torch.manual_seed(0)
    module = (la.Conv() if model == "conv" else la.MLP()).build(SHAPE, 10)
    split = Split((torch.randn(examples, *SHAPE), torch.arange(examples) % 10))
    data = Dataset("random", split, split)
    problem = la.Problem(module, la.CrossEntropy())
    plane = la.Plane.random(module, initialiser=la.Xavier(), scale=0.5)
    device = torch.device("cpu")
    return ProblemRecipe(problem, la.WeightSpace(module), data, split, device), plane


def measure(model: str, members: int, examples: int, rounds: int, strategy: str) -> tuple[list[float], list[float]]:
    """The seconds of the ensemble and of the survey, in turn."""
    base, plane = make_problem(model, examples)
    side = torch.linspace(-1, 1, members, dtype=torch.float64)
    coords = torch.stack([side, side.flip(0)], dim=1)
    config = EnsembleConfig(members=("points",), greedy=False, pairs=False, plan=strategy)
    recipe = build_ensemble(config, base, {"points": la.Members(chart=plane, coords=coords)})
    evaluation = EnsembleEvaluation(recipe, [strategy])
    metrics = choose_streaming_metrics(base.problem.loss)
    surveyor = Surveyor(evaluation.engines[0], plane, {"test": recipe.split}, metrics, config.eval_batch_size)
    (group,) = surveyor.chunks()

    def ensemble(folder: Path) -> None:
        predictions = evaluation.hold_predictions(folder / "predictions.bin")
        for _ in evaluation.gather(predictions):
            pass
        evaluation.score(predictions)

    def survey(folder: Path) -> None:
        surveyor.at(coords, "test", group)

    found: dict[Callable[[Path], None], list[float]] = {ensemble: [], survey: []}
    for _ in range(rounds + 1):
        for what, seconds in found.items():
            with TemporaryDirectory() as folder:
                started = time.perf_counter()
                what(Path(folder))
                seconds.append(time.perf_counter() - started)
    return found[ensemble][1:], found[survey][1:]  # the first round warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=50)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--model", choices=("conv", "mlp"), nargs="+", default=["conv", "mlp"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plan", default="auto")
    arguments = parser.parse_args()
    table = Table("network", "survey (s)", "ensemble (s)", "ratio", title=f"{arguments.members} points of a plane, "
                  f"{arguments.examples:,} images")  # fmt: skip
    for model in arguments.model:
        mine, theirs = measure(model, arguments.members, arguments.examples, arguments.rounds, arguments.plan)
        ratios = [one / other for one, other in zip(mine, theirs, strict=True)]
        table.add_row(model, f"{median(theirs):.2f}", f"{median(mine):.2f}", f"{median(ratios):.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
