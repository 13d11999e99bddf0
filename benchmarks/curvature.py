"""Curvature at many points against packages that go point by point, and what a product with the Hessian costs.

Both ends of the Hessian's spectrum at 25 points of a plane around a network of 1,013 weights, on 500 digits in float32.
All look for the same: residuals below 1e-3 of the larger magnitude of both ends (scipy's stop at 1e-3 of each value,
which takes it longer). They take turns, and the shortest of several runs counts; residuals are checked in float64.

    python benchmarks/curvature.py                                 eigenvalues
    python benchmarks/curvature.py --products                      a product against gradients, graphs kept and not
    python benchmarks/curvature.py --map 9 --folder DIR            ratios of the conv on 256 images of FashionMNIST
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lossatlas.cli.process import settle

settle()

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import lossatlas as la
from lossatlas.curvatures import CurvatureSettings, count_vectors, find_spectrum
from lossatlas.engine import Derivatives, Engine
from lossatlas.engine.derivatives import Room
from lossatlas.engine.strategy import STRATEGIES
from lossatlas.metrics import choose_metrics

TOLERANCE = 1e-3
EVERYTHING = 10**12
"""More bytes than all graphs take."""


@dataclass(frozen=True)
class Setting:
    """A network, its examples and points around it."""

    module: nn.Module
    inputs: Tensor
    labels: Tensor
    chart: la.Slice
    coords: Tensor

    @property
    def split(self) -> la.Split:
        return la.Split((self.inputs, self.labels))

    @property
    def points(self) -> list[Tensor]:
        """The weights (n,) of each point."""
        return list(self.chart.points(self.coords).detach())

    def engine(self, strategy: str) -> Engine:
        """The engine, which does not measure its plan unless it is automatic."""
        problem = la.Problem(self.module, la.CrossEntropy())
        return la.engine_for(
            problem, self.chart, self.split, buffers=la.FrozenStatistics(), plan=strategy, steps=False,
            eval_batch_size=len(self.inputs), metrics=choose_metrics(problem.loss, ["hessian_max"]),
        )  # fmt: skip

    def derivatives(self, engine: Engine, vectors: tuple[int, int]) -> list[Derivatives]:
        coefficients, controls = self.chart.coefficients(self.coords), self.chart.controls()
        return [part for _, part in engine.derivatives(coefficients, controls, self.split, len(self.inputs), vectors)]


def make_digits() -> Setting:
    """1,013 weights, trained for 200 steps, and 25 points up to half the weights' norm from them."""
    torch.manual_seed(0)
    digits = load_digits()
    inputs = torch.tensor(digits.images[:500] / 16).float().view(500, 4, 2, 4, 2).mean((2, 4)).flatten(1)
    module = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 17), nn.Tanh(), nn.Linear(17, 10))
    return _surrounded(module, inputs, torch.tensor(digits.target[:500]), steps=200, side=5)


def make_fashion(folder: Path | None, side: int, examples: int = 256) -> Setting:
    """The paper's convolutional network after an epoch on FashionMNIST, and points of a filter-normalised plane."""
    options = {"folder": str(folder)} if folder else {}
    splits = la.load_data("fashion_mnist", options).splits
    torch.manual_seed(0)
    module = la.Conv().build((1, 28, 28), 10)
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    images, labels = splits["train"].take(torch.arange(20_000))
    for rows in torch.randperm(len(images)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images[rows]), labels[rows]).backward()
        optimizer.step()
    chart = la.slice_around(module.eval())
    axis = torch.linspace(-1, 1, side)
    return Setting(module, images[:examples], labels[:examples], chart, torch.cartesian_prod(axis, axis))


def _surrounded(module: nn.Module, inputs: Tensor, labels: Tensor, steps: int, side: int) -> Setting:
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(inputs), labels).backward()
        optimizer.step()
    centre = parameters_to_vector(module.parameters()).detach().clone()
    drawn = torch.randn(2, len(centre), generator=torch.Generator().manual_seed(1))
    directions = torch.linalg.qr(drawn.T)[0].T * centre.norm()
    axis = torch.linspace(-0.5, 0.5, side)
    return Setting(module, inputs, labels, la.Slice(centre, directions), torch.cartesian_prod(axis, axis))


Found = list[tuple[np.ndarray, np.ndarray]]
"""Of each point the two eigenvalues, ascending, and the eigenvectors (n, 2)."""


def find_with_lossatlas(setting: Setting, engine: Engine) -> Found:
    found: Found = []
    coefficients, controls, split = setting.chart.coefficients(setting.coords), setting.chart.controls(), setting.split
    needs = count_vectors(2, True)
    for _, part in engine.derivatives(coefficients, controls, split, len(split), needs):
        ends = find_spectrum(part, CurvatureSettings(tolerance=TOLERANCE), vectors=True)
        assert ends.top_vectors is not None
        assert ends.bottom_vectors is not None
        for row in range(part.count):
            values = np.array([float(ends.bottom[row, 0]), float(ends.top[row, 0])])
            vectors = torch.stack([ends.bottom_vectors[row, 0], ends.top_vectors[row, 0]], dim=1)
            found.append((values, vectors.numpy()))
    return found


def find_with_eigenthings(setting: Setting) -> Found:
    """One run for both ends at each point, started again with twice the steps until residuals are small enough."""
    from hessian_eigenthings import HessianOperator, lanczos, supervised_loss

    found: Found = []
    for number, point in enumerate(setting.points):
        vector_to_parameters(point.clone(), setting.module.parameters())
        data = [(setting.inputs, setting.labels)]
        operator = HessianOperator(setting.module, data, supervised_loss(nn.CrossEntropyLoss()))
        steps = 20
        while True:
            made = lanczos(
                operator, k=steps, max_iter=steps, tol=TOLERANCE, which="LA", seed=number, reorthogonalize=True
            )
            if bool((made.residuals[[0, -1]] < TOLERANCE * made.eigenvalues.abs().max()).all()):
                break
            steps *= 2
        ends = [-1, 0]
        found.append((made.eigenvalues[ends].numpy(), made.eigenvectors[ends].T.numpy()))
    return found


def find_with_curvlinops(setting: Setting) -> Found:
    """ARPACK's both ends of curvlinops' operator at each point."""
    from curvlinops import HessianLinearOperator
    from scipy.sparse.linalg import eigsh

    found: Found = []
    params = list(setting.module.parameters())
    for number, point in enumerate(setting.points):
        vector_to_parameters(point.clone(), params)
        operator = HessianLinearOperator(
            setting.module, nn.CrossEntropyLoss(), params, [(setting.inputs, setting.labels)],
            check_deterministic=False, num_data=len(setting.inputs),
        )  # fmt: skip
        start = np.random.default_rng(number).standard_normal(len(point)).astype(np.float32)
        found.append(eigsh(operator.to_scipy(dtype=np.float32), k=2, which="BE", tol=TOLERANCE, v0=start))
    return found


def find_worst_residual(setting: Setting, found: Found) -> float:
    """The largest residual, in float64, as a share of the larger magnitude of both ends."""
    wide = replace(setting, module=setting.module.double(), inputs=setting.inputs.double())
    chart = la.Slice(setting.chart.controls()[0].detach().double(), setting.chart.controls()[1:].detach().double())
    wide = replace(wide, chart=chart, coords=setting.coords.double())
    worst = 0.0
    (part,) = wide.derivatives(wide.engine("vmap"), (0, 0))
    for end in range(2):
        vectors = torch.tensor(np.stack([each[1][:, end] for each in found])).double()
        vectors /= vectors.norm(dim=1, keepdim=True)
        values = torch.tensor(np.array([each[0] for each in found])).double()
        rest = part.hessian_product(vectors) - values[:, end : end + 1] * vectors
        worst = max(worst, float((rest.norm(dim=1) / values.abs().amax(dim=1)).max()))
    setting.module.float()
    return worst


def compare_eigenvalues(console: Console, turns: int) -> None:
    setting = make_digits()
    ways: dict[str, Callable[[], Found]] = {}
    for strategy in ("auto", *STRATEGIES):
        engine = setting.engine(strategy)
        name = f"lossatlas, {strategy}" + (f" ({engine.plan.derivatives.strategy})" if strategy == "auto" else "")
        ways[name] = lambda engine=engine: find_with_lossatlas(setting, engine)
    ways["hessian-eigenthings"] = lambda: find_with_eigenthings(setting)
    ways["curvlinops, eigsh"] = lambda: find_with_curvlinops(setting)
    times: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Found] = {}
    for _ in range(turns):
        for name, way in ways.items():
            begin = time.perf_counter()
            found[name] = way()
            times[name].append(time.perf_counter() - begin)
    table = Table(title=f"Both ends at {len(setting.coords)} points, {torch.get_num_threads()} threads")
    for column in ("", "seconds", "hessian-eigenthings takes", "curvlinops takes", "largest residual"):
        table.add_column(column, justify="right")
    theirs = [min(times[name]) for name in ("hessian-eigenthings", "curvlinops, eigsh")]
    for name, taken in times.items():
        ratios = [f"{other / min(taken):.1f} x" for other in theirs]
        table.add_row(name, f"{min(taken):.2f}", *ratios, f"{find_worst_residual(setting, found[name]):.1e}")
    console.print(table)


def time_once(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def compare_products(console: Console, setting: Setting, name: str, turns: int) -> None:
    """A product at P points against their gradients; with graphs that are kept, and made at every product."""
    count, images = len(setting.coords), len(setting.inputs)
    table = Table(title=f"{name}: {count} points, {images} images, {torch.get_num_threads()} threads")
    for column in ("", "gradients, us a point and image", "product, kept", "made each time", "ratio", "ratio"):
        table.add_column(column, justify="right")
    vectors = torch.randn(count, setting.chart.dimension, generator=torch.Generator().manual_seed(0))
    every = torch.arange(count)
    for strategy in STRATEGIES:
        engine = setting.engine("loop")
        service = replace(engine.plan.derivatives, strategy=strategy, points=count, examples=None)
        engine = Engine(engine.network, replace(engine.plan, derivatives=service))
        works: list[Callable[[], object]] = []
        for room in (Room(0, EVERYTHING, 1), Room()):
            (part,) = setting.derivatives(engine, (0, 0))
            part.room = room
            works.append(partial(part.operator(), vectors, every))
        works.insert(0, part.gradient)
        times = [[time_once(work) for work in works] for _ in range(turns + 1)]  # the first builds the graphs
        gradient, kept, made = np.array(times[1:]).min(axis=0)
        each = 1e6 / count / images
        table.add_row(
            strategy, *(f"{each * seconds:.1f}" for seconds in (gradient, kept, made)),
            f"{kept / gradient:.2f}", f"{made / gradient:.2f}",
        )  # fmt: skip
    console.print(table)


def draw_map(console: Console, folder: Path | None, side: int) -> None:
    """The share of points at which the ratio of both ends is known, and the minutes of the map, engine included."""
    setting = make_fashion(folder, side)
    begin = time.perf_counter()
    axes = {axis: np.linspace(-1, 1, side) for axis in setting.chart.axes}
    found = la.survey(
        setting.chart, axes, la.Problem(setting.module, la.CrossEntropy()), {"train": setting.split},
        metrics=["hessian_ratio", "hessian_max", "hessian_min", "loss"],
    ).load()  # fmt: skip
    minutes = (time.perf_counter() - begin) / 60
    resolved = (found.train_hessian_ratio_residual <= 0.02).values
    console.print(
        f"{side}x{side} ratios of {setting.chart.dimension:,} weights on {len(setting.split)} images: "
        f"{resolved.mean():.1%} of points resolved, {minutes:.1f} minutes, {torch.get_num_threads()} threads; "
        f"ratio {float(found.train_hessian_ratio.min()):.3f} to {float(found.train_hessian_ratio.max()):.3f}, "
        f"largest eigenvalue {float(found.train_hessian_max.min()):.3g} to {float(found.train_hessian_max.max()):.3g}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="FashionMNIST in the hub's layout; default downloads it")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--products", action="store_true", help="a product against gradients, instead of eigenvalues")
    parser.add_argument("--map", type=int, metavar="SIDE", help="a map of ratios, instead")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    console = Console()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # curvlinops' imports, by torch.jit
        if given.map:
            draw_map(console, given.folder, given.map)
        elif given.products:
            compare_products(console, make_digits(), "MLP, 1,013 weights", given.turns)
            compare_products(console, make_fashion(given.folder, 2), "conv, 153,402 weights", given.turns)
        else:
            compare_eigenvalues(console, given.turns)


if __name__ == "__main__":
    main()
