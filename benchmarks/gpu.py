"""Everything that is worth knowing of the engine on a GPU, in one go: ``make bench-gpu``, six minutes at most.

Results are written as JSON after each part, so that a run that is cut short leaves what it measured. Packages that are
missing (zarr, plotly, datasets and others) are named, and what needs none of them goes on without.

    python benchmarks/gpu.py --json gpu.json                on the first CUDA device
    python benchmarks/gpu.py --parts agreement resnet     some of it
    python benchmarks/gpu.py --device cpu --toy             every part at toy size: whether the script works
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import math
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lossatlas.cli.process import settle

settle()

import torch
from engine import Case, gemm_gflops, records
from rich.console import Console
from torch import Tensor
from torch.func import functional_call

import lossatlas as la
from lossatlas.engine import PRECISIONS, STRATEGIES, Functional
from lossatlas.engine.buffers.frozen import FrozenStatistics
from lossatlas.engine.plan import Plan
from lossatlas.engine.planning import MEASURING_SECONDS
from lossatlas.machine import name_machine
from lossatlas.metrics import choose_metrics
from lossatlas.recipes import PRESETS
from lossatlas.types import Outputs

OPTIONAL = ("datasets", "matplotlib", "plotly", "sklearn", "xarray", "zarr")
TOLERANCES = {"fp32": (1e-5, 0.02), "tf32": (2e-3, 0.2), "bf16": (1e-2, 0.5)}
"""How far losses, and the gradient as a vector, may be from 64 bits, as shares. Gradients of networks that normalise by
32 examples are that far off in the plain loop, too: units at the kink of a ReLU fall on its other side."""
TARGET = 0.8
SKULL_SECONDS = 60.0
GRID = 51**2


@dataclass(frozen=True)
class Size:
    """How much of everything there is."""

    minutes: float = 6.0
    networks: tuple[str, ...] = ("mlp", "conv", "conv-bn-study", "resnet20")
    timed: tuple[str, ...] = ("mlp", "conv", "resnet20")
    seconds: float = 10.0
    """For each network and service of the table."""
    quick: bool = False
    steps: int = 100
    """Of the paper's preset."""
    batch: int = 512
    skull: float = SKULL_SECONDS
    """Seconds of fitting at most."""
    side: int = 40
    depth: int = 56
    examples: int = 50_000
    eval_batch_size: int = 5_000
    points: int = 100
    measuring: float = MEASURING_SECONDS
    """Seconds for a plan."""
    plan: str = "auto"
    """The plan of fits; measuring one takes its own time, whatever limit is set."""


TOY = Size(
    minutes=2.0, networks=("mlp",), timed=("mlp",), seconds=0.1, quick=True, steps=2, batch=8, skull=0.3, side=10,
    depth=8, examples=64, eval_batch_size=32, points=2, measuring=0.1, plan="loop",
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """Where parts run, and how large they are."""

    device: torch.device
    size: Size
    console: Console

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, run: Callable[[], object]) -> float:
        """What a run takes, the device's part included."""
        self.wait()
        begin = time.perf_counter()
        run()
        self.wait()
        return time.perf_counter() - begin

    def precisions(self) -> list[str]:
        """Those that the device has."""
        found = []
        for name in PRECISIONS:
            try:
                PRECISIONS[name]().check(self.device)
            except la.BadInput:
                continue
            found.append(name)
        return found

    def images(self, count: int, *shape: int) -> la.Split:
        """Made-up images of ten classes, each around an image of its own."""
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(count) % 10
        centres = torch.randn(10, *shape, generator=generator)
        images = torch.empty(count, *shape)
        for part, of in zip(images.split(5_000), labels.split(5_000), strict=True):
            part.copy_(centres[of] + torch.randn(part.shape, generator=generator))
        return la.Split((images, labels)).to(self.device)


class _Total(Functional):
    """The sum over points of their mean losses."""

    coupled = False
    geometric = False

    def value(self, outputs: Outputs, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        return (losses @ shares).sum()

    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        return gram.new_zeros(())


def agreement(bench: Bench) -> dict[str, Any]:
    """Losses of 3 points, and the gradient, by every strategy and precision against calls in 64 bits on the CPU."""
    rows = []
    for name in bench.size.networks:
        case = Case(name, "fit", bench.device, quick=True)
        few = la.Split(tuple(leaf[:32] for leaf in case.split.data))
        coefficients, metrics = case.coefficients[:3], choose_metrics(case.problem.loss)
        wanted, slope = _by_hand(case, few, coefficients)
        for precision in bench.precisions():
            for strategy in STRATEGIES:
                row: dict[str, Any] = {"network": name, "strategy": strategy, "precision": precision}
                rows.append(row)
                try:
                    engine = case.engine(Plan.of(strategy, 3, precision=precision), precision)
                    losses = engine.evaluate(coefficients, case.controls, few, metrics, eval_batch_size=32)["loss"]
                    pulled = engine.pullback(coefficients, case.controls, few.data, _Total())
                except Exception as error:  # said of this one, and the others go on
                    row["failed"] = f"{type(error).__name__}: {error}"
                    continue
                row["losses"], row["gradient"] = _apart(losses, wanted), _apart(pulled.controls, slope)
                row["agrees"] = all(
                    row[what] <= most for what, most in zip(("losses", "gradient"), TOLERANCES[precision], strict=True)
                )
    return {"rows": rows, "tolerances": TOLERANCES, "agree": all(row.get("agrees", False) for row in rows)}


def _by_hand(case: Case, split: la.Split, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """Mean losses (P,) and the gradient (m, n) of their sum in the controls, in 64 bits on the CPU."""
    module = copy.deepcopy(case.module).cpu().double()
    images, labels = (leaf.cpu() for leaf in split.data)
    controls = case.controls.cpu().double().requires_grad_()
    points = coefficients.cpu().double() @ controls
    losses = torch.stack([
        case.problem.loss(functional_call(module, case.space.unflatten(point), (images.double(),)), labels).mean()
        for point in points
    ])  # fmt: skip
    return losses.detach(), torch.autograd.grad(losses.sum(), controls)[0]


def _apart(found: Tensor, wanted: Tensor) -> float:
    """The length of a difference, as a share of that of what was wanted."""
    return float((found.cpu().double() - wanted).norm() / wanted.norm())


def table(bench: Bench) -> dict[str, Any]:
    """How fast strategies are beside a loop by hand, as ``benchmarks/engine.py`` has it."""
    precisions = ["fp32"] if bench.size.quick else bench.precisions()
    gemm = {precision: gemm_gflops(precision, bench.device) for precision in precisions}
    rows: list[dict[str, Any]] = []
    for name in bench.size.timed:
        for service in ("fit", "evaluate"):
            case = Case(name, service, bench.device, bench.size.quick, bench.size.measuring)
            rows += [asdict(record) for record in records(case, bench.size.seconds, gemm, bench.console)]
    return {"gemm_gflops": gemm, "rows": rows}


def paper(bench: Bench) -> dict[str, Any]:
    """Steps per second of the multi-point paper's settings, on images of FashionMNIST's shape."""
    split = bench.images(2 * bench.size.batch, 1, 28, 28)
    return {precision: _steps(bench, split, precision) for precision in bench.precisions()}


def _steps(bench: Bench, split: la.Split, precision: str) -> dict[str, Any]:
    size, settings = bench.size, PRESETS["paper"]
    module = la.Conv().build((1, 28, 28), 10)
    chart = la.Plane.random(module, initialiser=la.Xavier()).to(bench.device)
    pattern = la.Pattern(la.picture("skull", int(settings["size"])), cells=2 if size.quick else settings["cells"])
    times: list[float] = []
    result = la.fit(
        chart, pattern, la.Problem(module, la.CrossEntropy()), split, steps=size.steps, batch_size=size.batch,
        optimizer=la.Adam(lr=settings["lr"]), precision=precision, plan=size.plan,
        on_step=lambda _: times.append(time.perf_counter()),
    )  # fmt: skip
    bench.wait()
    first = len(times) // 10  # these are slower
    return {
        "steps_per_second": (len(times) - 1 - first) / (time.perf_counter() - times[first]),
        "strategy": result.plan.pullback.strategy,
        "points": result.plan.pullback.points,
    }


def skull(bench: Bench) -> dict[str, Any]:
    """Seconds of fitting until the accuracies of low and high cells are 0.8 apart, of the last fifty steps."""
    try:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = torch.as_tensor(digits.images / 16, dtype=torch.float32)[:, None]
        data, split = "digits", la.Split((images, torch.as_tensor(digits.target))).to(bench.device)
    except ImportError:
        data, split = "made up", bench.images(1_800, 1, 8, 8)
    module = la.MLP().build((1, 8, 8), 10)
    chart = la.Plane.random(module, initialiser=la.Xavier()).to(bench.device)
    pattern = la.Pattern(la.picture("skull", bench.size.side), boundary_only=True)
    problem = la.Problem(module, la.CrossEntropy())
    gaps: list[float] = []
    reached: list[tuple[int, float]] = []
    begin = time.perf_counter()

    def look(step: dict[str, float]) -> None:
        gaps.append(step["gap"])
        recent = gaps[-50:]
        if not reached and len(recent) == 50 and sum(recent) / 50 >= TARGET:
            reached.append((len(gaps), time.perf_counter() - begin))

    result = la.fit(
        chart, pattern, problem, split, seconds=bench.size.skull, on_step=look, target_gap=TARGET, plan=bench.size.plan
    )
    steps, seconds = reached[0] if reached else (None, None)
    last = gaps[-50:]
    return {
        "data": data, "seconds_to_gap": seconds, "steps_to_gap": steps, "target": TARGET, "steps": result.steps,
        "seconds": result.seconds, "gap": sum(last) / len(last), "strategy": result.plan.pullback.strategy,
    }  # fmt: skip


def _around(bench: Bench, network: torch.nn.Module) -> tuple[la.Problem, Any, Tensor, Tensor]:
    """A problem, the chart of a plane around a network, its controls, and coefficients of points on a grid."""
    chart = la.slice_around(network, seed=0).to(bench.device)
    side = math.ceil(math.sqrt(bench.size.points))
    axis = torch.linspace(-1.0, 1.0, side)
    coords = torch.cartesian_prod(axis, axis)[: bench.size.points].to(bench.device)
    with torch.no_grad():
        return la.Problem(network, la.CrossEntropy()), chart, chart.controls(), chart.coefficients(coords)


def resnet(bench: Bench) -> dict[str, Any]:
    """Points of a residual network, normalised by given statistics, over made-up images; extrapolated to 51 x 51."""
    size = bench.size
    torch.manual_seed(0)
    network = la.ResNet(depth=size.depth).build((3, 32, 32), 10).to(bench.device).eval()
    problem, chart, controls, coefficients = _around(bench, network)
    split = bench.images(size.examples, 3, 32, 32)
    batches = math.ceil(size.examples / size.eval_batch_size)
    engine = la.engine_for(
        problem, chart, split, buffers=FrozenStatistics(), precision="bf16", eval_batch_size=size.eval_batch_size,
        evaluations=size.points * batches, steps=False, measuring=size.measuring,
    )  # fmt: skip
    metrics = choose_metrics(problem.loss)
    with torch.no_grad():
        seconds = bench.seconds(lambda: engine.evaluate(coefficients, controls, split, metrics, size.eval_batch_size))
    return {
        "depth": size.depth, "points": size.points, "examples": size.examples, "seconds": seconds,
        "seconds_of_51x51_extrapolated": seconds / size.points * GRID, "service": asdict(engine.plan.evaluate),
        "reason": engine.plan.reason,
    }  # fmt: skip


def hessian(bench: Bench) -> dict[str, Any]:
    """What a product of the Hessian with a vector takes beside a gradient, at one point on a group of images."""
    torch.manual_seed(0)
    network = la.ResNet(depth=8 if bench.size.quick else 20).build((3, 32, 32), 10).to(bench.device).eval()
    problem, chart, controls, coefficients = _around(bench, network)
    split = bench.images(min(bench.size.examples, 2_000), 3, 32, 32)
    group = min(bench.size.eval_batch_size, 500)
    engine = la.engine_for(problem, chart, split, buffers=FrozenStatistics(), plan="loop", eval_batch_size=group)
    _, derivatives = next(engine.derivatives(coefficients[:1], controls, split, group))
    vectors = torch.randn_like(controls[:1])
    runs = {"gradient": derivatives.gradient, "product": lambda: derivatives.hessian_product(vectors)}
    found = {}
    for name, run in runs.items():
        run()
        found[name] = min(bench.seconds(run) for _ in range(3))
    return {"seconds": found, "products_per_gradient": found["product"] / found["gradient"]}


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "agreement": agreement,
    "resnet": resnet,
    "table": table,
    "paper": paper,
    "skull": skull,
    "hessian": hessian,
}
"""In the order in which they are wanted where time runs short."""


def measured(part: Callable[[Bench], dict[str, Any]], bench: Bench) -> dict[str, Any]:
    """A part's result, with what it took; or how it failed."""
    on_gpu = bench.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(bench.device)
    begin = time.perf_counter()
    try:
        found = part(bench)
    except Exception as error:  # whatever it is, the other parts go on
        found = {"failed": f"{type(error).__name__}: {error}", "where": traceback.format_exc(limit=-3)}
    found["took_seconds"] = time.perf_counter() - begin
    if on_gpu:
        found["peak_bytes"] = torch.cuda.max_memory_allocated(bench.device)
        torch.cuda.empty_cache()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="What is worth knowing of the engine on a GPU, in one go.")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu to try the script")
    parser.add_argument("--toy", action="store_true", help="every part at toy size")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path, metavar="FILE", default=Path("gpu.json"), help="default: gpu.json")
    options = parser.parse_args()
    device = torch.device(options.device)
    console = Console(width=120)
    if device.type == "cuda" and not torch.cuda.is_available():
        console.print("no CUDA device is at hand; use a machine that has one, or try this with --device cpu --toy")
        return 2
    bench = Bench(device, TOY if options.toy else Size(), console)
    missing = [name for name in OPTIONAL if importlib.util.find_spec(name) is None]
    result: dict[str, Any] = {
        "machine": name_machine(device), "torch": torch.__version__, "cuda": torch.version.cuda, "missing": missing,
        "toy": options.toy, "parts": {},
    }  # fmt: skip
    console.print(f"{result['machine']}, torch {torch.__version__}")
    if missing:
        console.print(f"not installed here: {', '.join(missing)}; what needs them is left out")
    end = time.perf_counter() + 60 * bench.size.minutes
    for name in options.parts:
        late = time.perf_counter() > end
        found = {"left_out": "no time was left"} if late else measured(PARTS[name], bench)
        result["parts"][name] = found
        _write(options.json, result)
        took = f"{found.get('took_seconds', 0.0):.1f} s"
        console.print(f"{name}: {found.get('failed') or found.get('left_out') or took}")
    return 1 if any("failed" in found for found in result["parts"].values()) else 0


def _write(path: Path, result: dict[str, Any]) -> None:
    """Whole or not at all: a run may be ended at any moment."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(result, indent=1))
    beside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
