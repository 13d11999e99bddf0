"""How fast the engine's strategies are, beside what research code does: ``make bench``.

For each network, service and precision every strategy is timed in turn with the plain loop, and what ``auto`` picks is
marked. Rates are model evaluations (points x examples) per second. Machines are shared: the ratios within one run are
what counts, and they are of the shortest of each contestant's runs.

    python benchmarks/engine.py                  at most ten minutes
    python benchmarks/engine.py --quick          at most two
    python benchmarks/engine.py --json FILE      the records as well
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lossatlas.cli.process import settle

settle()

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

import lossatlas as la
from lossatlas.engine import PRECISIONS, STRATEGIES
from lossatlas.engine.plan import Plan
from lossatlas.engine.race import Contestant, race
from lossatlas.metrics import metrics_for
from lossatlas.models.family import Family

POINTS = 100
STEP_EXAMPLES = 64
EVALUATED_EXAMPLES = {"cpu": 500, "cuda": 10_000}
"""A rate hardly depends on it; ten thousand images through a slow contestant would take minutes on a CPU."""
QUICK_EXAMPLES = 200
GROUP = 500
LOADER_BATCH = 512
MINUTES = {"all": 6.0, "quick": 0.7}
"""For timing; imports, plans and everybody's first round come on top."""
CHUNK = {"cpu": 16, "cuda": POINTS}
"""Points at a time, where a strategy is named; ``auto`` bounds them by memory."""
MATRIX = 2048
WIDTH = 120
"""Of the table, also where it goes into a file."""

STUDY = (8, 8, 32, 32, 64, 64)
NETWORKS: dict[str, tuple[Family, tuple[int, ...]]] = {
    "mlp": (la.MLP(), (1, 8, 8)),
    "conv": (la.Conv(), (1, 28, 28)),
    "conv-unpooled": (la.Conv(max_pool=False), (1, 28, 28)),
    "conv-bn-study": (la.Conv(channels=STUDY, batch_norm=True, max_pool=False), (1, 28, 28)),
    "resnet20": (la.ResNet(depth=20), (3, 32, 32)),
}
SERVICES = ("fit", "evaluate")


@dataclass(frozen=True)
class Record:
    """One row of the table."""

    network: str
    service: str
    strategy: str
    picked: bool
    """By ``auto``."""
    precision: str
    model_images_per_second: float
    gflops: float
    gemm_gflops: float
    """Of this machine, in the same precision, measured just before."""
    of_gemm: float
    over_plain: float
    """Against a functional call per point in default layout and 32 bits, over tensors in memory."""
    over_loader: float
    """Against the same over a DataLoader (batch 512, no workers, default collation)."""
    points: int
    """Of one timed run: as many of the hundred as there was time for."""


class Case:
    """One network and service."""

    def __init__(self, name: str, service: str, device: torch.device, quick: bool) -> None:
        family, shape = NETWORKS[name]
        torch.manual_seed(0)
        self.name, self.service, self.device = name, service, device
        self.module = family.build(shape, 10).to(device).eval()
        self.problem = la.Problem(self.module, la.CrossEntropy())
        self.space = la.WeightSpace(self.module)
        self.chart = la.Plane.random(self.module, initialiser=la.Xavier()).to(device)
        with torch.no_grad():
            self.controls = self.chart.controls()
            self.coefficients = self.chart.coefficients((torch.rand(POINTS, 2) * 2 - 1).to(device))
        evaluated = QUICK_EXAMPLES if quick else EVALUATED_EXAMPLES[device.type]
        self.examples = STEP_EXAMPLES if service == "fit" else evaluated
        self._measuring = 0.5 if quick else 2.0
        images = torch.randn(self.examples, *shape, device=device)
        self.split = la.Split((images, torch.randint(10, (self.examples,), device=device)))
        # The plain loop normalises by the batch, too.
        for part in self.module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean = part.running_var = part.num_batches_tracked = None
                part.track_running_stats = False

    def flops(self) -> int:
        """Per model and image, those of products alone."""
        images, labels = self.split.take(torch.arange(8))
        with FlopCounterMode(display=False) as counter:
            self._plain_call(self.controls[0], images, labels)
        return counter.get_total_flops() // 8

    def plain(self, count: int) -> Callable[[], object]:
        """A functional call per point, default layout, data in memory."""
        size = STEP_EXAMPLES if self.service == "fit" else GROUP
        images, labels = self.split.data
        return self._done(lambda: self._over(count, lambda: zip(images.split(size), labels.split(size), strict=True)))

    def loader(self, count: int) -> Callable[[], object]:
        """The same over a DataLoader on the CPU, as evaluation scripts have it."""
        images, labels = (leaf.cpu() for leaf in self.split.data)
        batches = DataLoader(TensorDataset(images, labels), batch_size=LOADER_BATCH)
        return self._done(lambda: self._over(count, lambda: iter(batches)))

    def engine(self, plan: str | Plan, precision: str) -> la.Engine:
        return la.engine_for(
            self.problem, self.chart, self.split, plan=plan, precision=precision, points=POINTS, group=GROUP,
            measuring=self._measuring,
        )  # fmt: skip

    def served(self, engine: la.Engine) -> Callable[[int], Callable[[], object]]:
        """The engine's own way, from a number of points to a run."""
        if self.service == "evaluate":
            metrics = metrics_for(self.problem.loss)
            return lambda count: (
                lambda: engine.evaluate(self.coefficients[:count], self.controls, self.split, metrics, GROUP)
            )

        def prepare(count: int) -> Callable[[], object]:
            cells = la.Pattern(la.picture("heart", 40), cells=max(1, count // 2)).draw(0, 0, 0.0)
            return self._done(lambda: engine.pullback(self.coefficients[:count], self.controls, self.split.data, cells))

        return prepare

    def _done(self, run: Callable[[], object]) -> Callable[[], object]:
        return _finished(run, self.device)

    def _over(self, count: int, batches: Callable[[], Iterator[tuple[Tensor, Tensor]]]) -> None:
        for point in self.coefficients[:count]:
            for images, labels in batches():
                self._plain_call(point @ self.controls, images.to(self.device), labels.to(self.device))

    def _plain_call(self, weights: Tensor, images: Tensor, labels: Tensor) -> None:
        train = self.service == "fit"
        params = {name: value.requires_grad_(train) for name, value in self.space.unflatten(weights.detach()).items()}
        with torch.set_grad_enabled(train):
            loss = self.problem.loss(functional_call(self.module, params, (images,)), labels).mean()
        if train:
            torch.autograd.grad(loss, list(params.values()))


def _finished(run: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """The run, which returns when a GPU has done it."""

    def finished() -> None:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return finished


def gemm_gflops(precision: str, device: torch.device) -> float:
    """The rate of a large square product."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(MATRIX, MATRIX, device=device).to(kind) for _ in range(2))

    def prepare(count: int) -> Callable[[], object]:
        return _finished(lambda: [left @ right for _ in range(count)], device)

    with PRECISIONS[precision]().of_process():
        return 2 * MATRIX**3 / race({"product": Contestant(prepare, 16)}, 1.0).seconds["product"] / 1e9


def records(case: Case, seconds: float, console: Console) -> Iterator[Record]:
    """One case: every strategy and precision, timed in turn with the plain loop."""
    service, device = case.service, case.device
    contestants = {("plain", ""): Contestant(case.plain, POINTS), ("loader", ""): Contestant(case.loader, POINTS)}
    picked, rates = set(), {}
    for precision in PRECISIONS:
        try:
            plan = case.engine("auto", precision).plan
        except la.BadInput:  # TF32 on a CPU
            continue
        rates[precision] = gemm_gflops(precision, device)
        picked.add((plan.pullback.strategy if service == "fit" else plan.evaluate.strategy, precision))
        for strategy in STRATEGIES:
            try:
                engine = case.engine(Plan.of(strategy, CHUNK[device.type], precision=precision), precision)
            except la.BadInput as error:
                console.print(f"{case.name}: {error}")
                continue
            contestants[strategy, precision] = Contestant(case.served(engine), POINTS)
    named = {" ".join(key).strip(): key for key in contestants}
    found = race({label: contestants[key] for label, key in named.items()}, seconds)
    for label, why in found.refused.items():
        console.print(f"{case.name}, {service}: {label} failed: {why}")
    per_image = {named[label]: value / case.examples for label, value in found.seconds.items()}
    flops = case.flops()
    for (strategy, precision), value in per_image.items():
        gflops = flops / value / 1e9
        gemm = rates[precision or "fp32"]
        yield Record(
            case.name, service, strategy, (strategy, precision) in picked, precision or "fp32", 1 / value, gflops, gemm,
            gflops / gemm, per_image["plain", ""] / value, per_image["loader", ""] / value,
            found.points[f"{strategy} {precision}".strip()],
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the engine's strategies beside a plain loop.")
    parser.add_argument("--quick", action="store_true", help="at most two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the records there as well")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    options = parser.parse_args()
    device = torch.device(options.device)
    cases = [(name, service) for name in options.networks for service in SERVICES]
    seconds = 60 * MINUTES["quick" if options.quick else "all"] / len(cases)
    console = Console(width=WIDTH)
    rows = [
        record
        for name, service in cases
        for record in records(Case(name, service, device, options.quick), seconds, console)
    ]

    table = Table("network", "service", "strategy", "precision", *(
        "points", "evaluations/s", "GFLOP/s", "of GEMM", "over plain", "over loader"
    ))  # fmt: skip
    for row in rows:
        numbers = f"{row.model_images_per_second:,.0f}", f"{row.gflops:,.1f}", f"{row.of_gemm:.2f}"
        ratios = f"{row.over_plain:.2f}", f"{row.over_loader:.2f}"
        strategy = f"{row.strategy} *" if row.picked else row.strategy
        table.add_row(row.network, row.service, strategy, row.precision, str(row.points), *numbers, *ratios)
    console.print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}; * is what auto picks")
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
