"""How fast the engine's strategies are, beside what research code does: ``make bench``.

For each network, service and precision every strategy, and what ``auto`` makes of them, is timed in turn with a loop
written by hand ("script"). Rates are model evaluations (points x examples) per second. Machines are shared: the ratios
within one run are what counts, and they are medians over rounds in which both sides were timed. Who takes more than
three times as long on a few examples is dropped and named; so is a precision whose products are slower than in fp32.

    python benchmarks/engine.py                  at most ten minutes
    python benchmarks/engine.py --quick          at most two and a half
    python benchmarks/engine.py --busy           while another process has one of the cores
    python benchmarks/engine.py --json FILE      the records as well
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeAlias

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
from lossatlas.engine.planning import MEASURING_SECONDS
from lossatlas.engine.race import HOPELESS, Contestant, compare_times, race
from lossatlas.machine import name_machine
from lossatlas.metrics import choose_metrics
from lossatlas.models.family import Family

POINTS = 100
STEP_EXAMPLES = 64
EVALUATED_EXAMPLES = {"cpu": 500, "cuda": 10_000}
"""A rate hardly depends on it; ten thousand images through a slow contestant would take minutes on a CPU."""
QUICK_EXAMPLES = 200
EVAL_BATCH_SIZE = 500
LOADER_BATCH = 512
MINUTES = {"all": 5.0, "quick": 0.5}
"""For timing; imports, plans and everybody's first run come on top."""
BY_HAND = ("script", "loader")
FEW = 16
"""Examples on which it is seen who is hopeless."""
LONG = 0.1
"""Seconds that a run on those may always take: of small networks it shows calls alone."""
PRODUCTS = 20
"""Of large matrices, for the rate of this machine."""
CHUNK = {"cpu": 16, "cuda": POINTS}
"""Points at a time, where a strategy is named; ``auto`` bounds them by memory."""
MATRIX = 2048
WIDTH = 120
"""Of the table, also where it goes into a file."""

STACKING = [name for name in STRATEGIES if STRATEGIES[name].stacks_points]
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
    """By name; ``auto``, with what it picked; ``script``, and ``loader``, the same over a DataLoader."""
    precision: str
    model_images_per_second: float
    gflops: float
    gemm_gflops: float
    """Of this machine, in the same precision, measured just before."""
    of_gemm: float
    over_script: float
    """Against a functional call per point in default layout and 32 bits, over tensors in memory."""
    over_loader: float
    """Against the same over a DataLoader (batch 512, no workers, default collation)."""
    rounds: int
    points: int
    """Of one timed run: as many of the hundred as there was time for."""


class Case:
    """One network and service."""

    Served: TypeAlias = tuple[Callable[[], object], Callable[[int], Callable[[], object]]]
    """A run of one point on a few examples; and from a number of points to a run on all of them."""

    def __init__(
        self, name: str, service: str, device: torch.device, quick: bool, measuring: float = MEASURING_SECONDS
    ) -> None:
        family, shape = NETWORKS[name]
        torch.manual_seed(0)
        self.name, self.service, self.device = name, service, device
        self.measuring = measuring
        """Seconds for an automatic plan."""
        self.module = family.build(shape, 10).to(device).eval()
        self.problem = la.Problem(self.module, la.CrossEntropy())
        self.space = la.WeightSpace(self.module)
        self.chart = la.Plane.random(self.module, initialiser=la.Xavier()).to(device)
        with torch.no_grad():
            self.controls = self.chart.controls()
            self.coefficients = self.chart.coefficients((torch.rand(POINTS, 2) * 2 - 1).to(device))
        evaluated = QUICK_EXAMPLES if quick else EVALUATED_EXAMPLES[device.type]
        self.examples = STEP_EXAMPLES if service == "fit" else evaluated
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

    def by_hand(self, loop: Callable[[int, la.Split], None]) -> Served:
        """A loop without the engine."""
        few = la.Split(tuple(leaf[:FEW] for leaf in self.split.data))
        return self._done(lambda: loop(1, few)), lambda count: self._done(lambda: loop(count, self.split))

    def script(self, count: int, split: la.Split) -> None:
        """A functional call per point, default layout, data in memory."""
        size = STEP_EXAMPLES if self.service == "fit" else EVAL_BATCH_SIZE
        images, labels = split.data
        self._over(count, lambda: zip(images.split(size), labels.split(size), strict=True))

    def loader(self, count: int, split: la.Split) -> None:
        """The same over a DataLoader on the CPU, as evaluation scripts have it."""
        images, labels = (leaf.cpu() for leaf in split.data)
        batches = DataLoader(TensorDataset(images, labels), batch_size=LOADER_BATCH)
        self._over(count, lambda: iter(batches))

    def engine(self, plan: str | Plan, precision: str) -> la.Engine:
        return la.engine_for(
            self.problem, self.chart, self.split, plan=plan, precision=precision, points=POINTS,
            eval_batch_size=EVAL_BATCH_SIZE, batch_size=STEP_EXAMPLES, measuring=self.measuring,
        )  # fmt: skip

    def served(self, engine: la.Engine) -> Served:
        """The engine's own way."""
        if self.service == "evaluate":
            metrics = choose_metrics(self.problem.loss)

            def evaluate(count: int, split: la.Split) -> None:
                engine.evaluate(self.coefficients[:count], self.controls, split, metrics, EVAL_BATCH_SIZE)

            return self.by_hand(evaluate)
        points = la.Pattern(la.picture("heart", 40), cells=POINTS // 2).sample(0, 0, 0.0, {})

        def pullback(count: int, split: la.Split) -> None:
            engine.pullback(self.coefficients[:count], self.controls, split.data, points)

        return self.by_hand(pullback)

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
    """The rate of a large square product, the median of a few; of a small one, where the large one takes seconds."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    rate = math.inf
    for side in (MATRIX // 8, MATRIX):
        if 2 * MATRIX**3 / rate / 1e9 > 1.0:
            break
        left, right = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
        run, times = _finished(partial(torch.mm, left, right), device), []
        with PRECISIONS[precision]().of_process():
            run()
            while len(times) < PRODUCTS and sum(times) < 1.0:
                begin = time.perf_counter()
                run()
                times.append(time.perf_counter() - begin)
        rate = 2 * side**3 / median(times) / 1e9
    return rate


def hopeful(contestants: dict[str, Case.Served], console: Console, name: str) -> dict[str, Case.Served]:
    """Those that are worth a race: on a few examples of one point not much slower than the script."""
    spent = {}
    for label, (small, _) in contestants.items():
        try:
            small()
            begin = time.perf_counter()
            small()
            spent[label] = time.perf_counter() - begin
        except Exception as error:
            console.print(f"{name}: {label} cannot take part: {error}")
    limit = max(HOPELESS * spent["script"], LONG)
    for label, seconds in spent.items():
        if seconds > limit:
            console.print(f"{name}: {label} is dropped: {seconds / spent['script']:.1f} times the script's time")
    return {label: contestants[label] for label, seconds in spent.items() if seconds <= limit}


def records(case: Case, seconds: float, gemm: dict[str, float], console: Console) -> Iterator[Record]:
    """One case: every strategy and precision, timed in turn with the script."""
    name = f"{case.name}, {case.service}"
    served: dict[str, Case.Served] = {"script": case.by_hand(case.script), "loader": case.by_hand(case.loader)}
    picked = {}
    for precision in gemm:
        begin = time.perf_counter()
        engine = case.engine("auto", precision)
        service = engine.plan.pullback if case.service == "fit" else engine.plan.evaluate
        parts = f"/{service.examples}" if service.examples else ""
        picked[f"auto {precision}"] = f"auto: {service.strategy}{parts}, {service.points} at a time"
        console.print(f"{name}, {precision}: planned in {time.perf_counter() - begin:.1f} s", style="dim")
        served[f"auto {precision}"] = case.served(engine)
        for strategy in STRATEGIES:
            try:
                engine = case.engine(Plan.of(strategy, CHUNK[case.device.type], precision=precision), precision)
            except la.BadInput as error:
                console.print(f"{name}: {error}")
                continue
            served[f"{strategy} {precision}"] = case.served(engine)
    contestants = {
        label: Contestant(
            whole,
            POINTS,
            least=torch.get_num_threads(),
            gains=any(name in picked.get(label, label) for name in STACKING),
        )
        for label, (_, whole) in hopeful(served, console, name).items()
    }
    found = race(contestants, seconds, finals=False)
    for label, why in found.refused.items():
        console.print(f"{name}: {label} failed: {why}")
    flops = case.flops()
    for label, times in found.rounds.items():
        strategy, _, precision = label.partition(" ")
        per_image = median(times) / case.examples
        gflops = flops / per_image / 1e9
        rate = gemm[precision or "fp32"]
        over = [
            1 / compare_times(times, found.rounds[other]) if other in found.rounds else 0.0
            for other in ("script", "loader")
        ]
        yield Record(
            case.name, case.service, picked.get(label, strategy), precision or "fp32", 1 / per_image, gflops, rate,
            gflops / rate, *over, len(times), found.points[label],
        )  # fmt: skip


@contextmanager
def busy(wanted: bool) -> Iterator[None]:
    """Another process that wants one core all the time."""
    if not wanted:
        yield
        return
    neighbour = multiprocessing.get_context("fork").Process(target=_work_for_ever, daemon=True)
    neighbour.start()
    try:
        yield
    finally:
        neighbour.kill()


def _work_for_ever() -> None:
    while True:
        sum(range(1000))


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the engine's strategies beside a loop written by hand.")
    parser.add_argument("--quick", action="store_true", help="at most two and a half minutes")
    parser.add_argument("--busy", action="store_true", help="let another process have one of the cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the records there as well")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    options = parser.parse_args()
    begun = time.perf_counter()
    device = torch.device(options.device)
    cases = [(name, service) for name in options.networks for service in SERVICES]
    seconds = 60 * MINUTES["quick" if options.quick else "all"] / len(NETWORKS) / len(SERVICES)
    console = Console(width=WIDTH)
    gemm = {}
    for precision in PRECISIONS:
        try:
            PRECISIONS[precision]().check(device)
        except la.BadInput:  # TF32 on a CPU
            continue
        gemm[precision] = gemm_gflops(precision, device)
    rates = ", ".join(f"{precision} {rate:,.0f}" for precision, rate in gemm.items())
    console.print(
        f"{name_machine(device)}; {torch.get_num_threads()} threads, torch {torch.__version__}; GEMM {rates} GFLOP/s"
    )
    for precision in [each for each in gemm if each != "fp32" and gemm[each] < gemm["fp32"]]:
        console.print(f"{precision} is dropped: its products are slower than those of fp32")
        del gemm[precision]
    with busy(options.busy):
        rows = [
            record
            for name, service in cases
            for record in records(Case(name, service, device, options.quick), seconds, gemm, console)
        ]

    table = Table("network", "service", "strategy", "precision", *(
        "rounds", "points", "evaluations/s", "GFLOP/s", "of GEMM", "over script", "over loader"
    ))  # fmt: skip
    for row in rows:
        numbers = f"{row.model_images_per_second:,.0f}", f"{row.gflops:,.1f}", f"{row.of_gemm:.2f}"
        ratios = f"{row.over_script:.2f}", f"{row.over_loader:.2f}"
        names = row.network, row.service, row.strategy, row.precision
        table.add_row(*names, str(row.rounds), str(row.points), *numbers, *ratios)
    console.print(table)
    for line in worst(rows):
        console.print(line)
    console.print(f"{(time.perf_counter() - begun) / 60:.1f} minutes")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


def worst(rows: list[Record]) -> Iterator[str]:
    """How ``auto`` compares at its worst, in fp32."""
    against_script, against_best = {}, {}
    for name, service in {(row.network, row.service): None for row in rows}:
        those = [row for row in rows if (row.network, row.service, row.precision) == (name, service, "fp32")]
        (auto,) = (row for row in those if row.strategy.startswith("auto"))
        best = max((row for row in those if row.strategy in STRATEGIES), key=lambda row: row.over_script)
        against_script[name, service] = auto.over_script
        # The same strategy, timed twice, differs by noise.
        same = auto.strategy.split()[1].rstrip(",") == best.strategy
        against_best[name, service] = 1.0 if same else auto.over_script / best.over_script
    for what, found in (("the script", against_script), ("the best strategy", against_best)):
        case = min(found, key=found.__getitem__)
        yield f"auto over {what}, worst of all: {found[case]:.2f} ({', '.join(case)})"


if __name__ == "__main__":
    main()
