"""How far surveys go that many workers share: a simulation with measured costs, and where it breaks first.

Units of shared work (claims, heartbeats, marks, writes, starts) are measured here with the real code, in seconds and in
requests to a file server. Then workers are simulated on a file server with so many requests a second, and a survey of
101 x 101 points of a network with 7 billion parameters on 64 GPUs, whose memory is measured on a small network.

    python benchmarks/scale.py --costs costs.json     measures and simulates, six minutes; then simulates with that file
    python benchmarks/scale.py --read_rate 400000 --write_rate 15000
    python benchmarks/scale.py --workers 10 100 --tile_seconds 5
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from scale_clock import Server
from scale_costs import KINDS, Cost, measure_imports, measure_joining, measure_store, measure_task
from scale_memory import LAST, Held, measure_held
from scale_model import WAYS, Scenario, simulate

from lossatlas.surveying.arrays import shape_tile

TILES_EACH = 10
"""Tiles of a worker, on average."""
PARTS = {"plain": ("plain", "*"), "loop": ("loop", "*"), "the last layer alone": ("plain", LAST)}
"""By name a plan and the parameters that vary, of which memory is measured."""
Costs = dict[str, dict[str, Cost]]


@dataclass(frozen=True)
class Large:
    """A survey of a large network. All but the first four are assumptions.

    Attributes:
        parameters: Of the network.
        points: Along each of two axes.
        gpus: Each with a worker.
        controls: Of the chart: an origin and two directions.
        tokens: At each point: 2,000 examples, the default, of 512 tokens.
        flops: Of a GPU, a second: an H100 SXM in bfloat16 without sparsity (NVIDIA's data sheet), 80 GB.
        used: The share of it that is reached: 38 to 43 % in the training of Llama 3 (arXiv 2407.21783, section 3.3.2).
        memory: Bytes of a GPU.
        client: Bytes a second from the file server to one client (Amazon EFS: 500 MiB).
        all_clients: To all of them (Amazon EFS: 3 to 10 GiB).
        deaths: GPUs that are lost, of one an hour: 419 in 54 days of 16,384 (the same, section 3.3.4).
        preempted: The same where a queue takes machines away.
    """

    parameters: float = 7e9
    points: int = 101
    gpus: int = 64
    controls: int = 3
    tokens: float = 2000 * 512
    flops: float = 989e12
    used: float = 0.4
    memory: float = 80e9
    client: float = 500 * 2**20
    all_clients: float = 3 * 2**30
    deaths: float = 419 / (54 * 24 * 16_384)
    preempted: float = 0.1

    @property
    def bytes(self) -> float:
        """Of the parameters in 32 bits."""
        return 4 * self.parameters

    @property
    def seconds(self) -> float:
        """Of a point: a forward pass takes two operations for each parameter and token."""
        return 2 * self.parameters * self.tokens / (self.flops * self.used)

    def read(self, amount: float, clients: int) -> float:
        """Seconds until so many clients have each read, or written, so many bytes."""
        return max(amount / self.client, amount * clients / self.all_clients)


def measure_all(folder: Path) -> tuple[Costs, dict[str, dict[str, Held]]]:
    """Measure everything that is simulated."""
    imports = replace(measure_imports(folder), writes=0.0)
    costs: Costs = {kind: {**measure_store(kind, folder), "imports": imports} for kind in KINDS}
    costs["pool"] = {**costs["leases"], "task": measure_task(2, folder), "joining": measure_joining(folder)}
    return costs, {name: measure_held(plan, folder, varied) for name, (plan, varied) in PARTS.items()}


def show(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table in Markdown."""
    columns = list(head)
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def show_costs(costs: Costs, server: Server) -> None:
    """Print the units."""
    rows = []
    for way, units in costs.items():
        for name, cost in units.items():
            if (way == "pool" and name in costs["leases"]) or (name == "imports" and way != "locks"):
                continue
            spread = f"{1e3 * cost.seconds:.3g} ({1e3 * cost.low:.3g} to {1e3 * cost.high:.3g})"
            there = f"{1e3 * server.demand(cost).seconds:.3g}"
            rows.append((way, name, spread, f"{cost.reads:,.1f}", f"{cost.writes:,.1f}", there))
    show(("", "unit", "ms here (quartiles)", "requests that read", "that change", "ms on the file server"), rows)


def show_workers(costs: Costs, server: Server, workers: list[int], tile_seconds: list[float]) -> None:
    """Print what becomes of more and more workers, as the code is, and if single things were otherwise."""
    rows = [
        _row(Scenario(way, count, [seconds] * (TILES_EACH * count), costs[way], server))
        for seconds in tile_seconds
        for way in WAYS
        for count in workers
    ]
    head = ("", "tile, s", "workers", "efficiency", "hours", "all at work after", "server busy", "most time is lost to")
    show(head, rows)
    changed = []
    for way in KINDS:
        quick = {**costs[way], "opening, a marked tile": Cost()}
        for name, changes in {
            "as it is": {},
            "if joiners did not read the marked tiles": {"costs": quick},
            "and opened at the same time": {"costs": quick, "serial_opening": False},
            "and began at places of their own": {"costs": quick, "serial_opening": False, "own_places": True},
        }.items():
            if way == "leases" and "own_places" in changes:
                continue
            for count in workers[-2:]:
                scenario = Scenario(way, count, [tile_seconds[-1]] * (TILES_EACH * count), costs[way], server)
                changed.append((name, *_row(replace(scenario, **changes))))
    show(("", *head), changed)


def _row(scenario: Scenario) -> tuple[str, ...]:
    found = simulate(scenario)
    assert (found.evaluated == 1).all()
    return (
        scenario.way, f"{scenario.tiles[0]:g}", f"{scenario.workers:,}", f"{found.efficiency:.2f}",
        f"{found.seconds / 3600:.2f}", f"{found.started:,.0f} s", f"{found.busy:.0%}", found.worst,
    )  # fmt: skip


def show_large(costs: Costs, held: Mapping[str, Mapping[str, Held]], server: Server, large: Large) -> None:
    """Print what a survey of a large network needs, and what becomes of it by the size of its tiles."""
    print(
        f"\n{large.parameters:.3g} parameters, {large.points} x {large.points} points, {large.gpus} GPUs: parameters "
        f"in 32 bits {large.bytes / 1e9:.0f} GB, chart {large.controls * large.bytes / 1e9:.0f} GB, a point "
        f"{large.seconds:.1f} s, all {large.points**2 * large.seconds / 3600:.0f} GPU hours"
    )
    rows = []
    for name, processes in held.items():
        need = processes["engine"].tensors
        rows.append((
            name, f"{need:.1f}", f"{need * large.bytes / 1e9:,.0f}", f"{large.memory / 4e9 / need:.1f}",
            f"{141 / 4 / need:.1f}", f"{max(processes[one].tensors for one in ('start', 'join')):.1f}",
            f"{processes['join'].written:.1f}", f"{processes['worker'].read:.1f}",
        ))  # fmt: skip
    head = ("plan, parameters", "x parameters on a device", "GB", "largest network for 80 GB, 10^9", "for 141 GB")
    show((*head, "x on host and device, command", "x written by each that joins", "x read by a pool's worker"), rows)
    joiner, worker = held["plain"]["join"], held["plain"]["worker"]
    written = joiner.written * large.bytes / large.client
    read = {"pool": large.read(worker.read * large.bytes, large.gpus)}
    read["leases"] = read["leases, chart written once"] = large.read(joiner.read * large.bytes, large.gpus)
    print(f"\nseconds of reading weights: { ({name: round(value) for name, value in read.items()}) }")
    print(f"seconds in which each command that joins writes the chart, one after another: {written:.0f}")
    rows = []
    for points in (256, 64, 16, 4, 1):
        side = shape_tile((large.points, large.points), points)[0]
        sides = [min(side, large.points - first) for first in range(0, large.points, side)]
        tiles = [a * b * large.seconds for a in sides for b in sides]
        for name, start in read.items():
            way = name.partition(",")[0]
            units = dict(costs[way])
            if name == "leases":
                units["opening"] += Cost(written)
            for deaths in (large.deaths, large.preempted):
                scenario = Scenario(way, large.gpus, tiles, units, server, starting=start, deaths=deaths)
                found = simulate(scenario)
                refused = " (refused: more workers than tiles)" if way == "pool" and len(tiles) < large.gpus else ""
                rows.append((
                    points, f"{len(tiles):,}{refused}", f"{max(tiles) / 60:.1f}", name, f"{deaths:.2g}",
                    f"{found.seconds / 3600:.2f}", f"{found.efficiency:.2f}", found.lost, found.unfinished, found.worst,
                ))  # fmt: skip
    head = ("tile_points", "tiles", "minutes of a tile", "by", "lost per GPU and hour", "hours", "efficiency")
    show((*head, "workers lost", "tiles left", "most time is lost to"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--costs", type=Path, metavar="FILE", help="of measured costs: read if it exists, else written")
    parser.add_argument("--folder", type=Path, help="where stores are measured; default a temporary folder")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1000, 10_000])
    parser.add_argument("--tile_seconds", type=float, nargs="+", default=[10.0, 60.0, 600.0])
    for each in fields(Server):
        parser.add_argument(f"--{each.name}", type=float, default=each.default, help="of the file server")
    for each in fields(Large):
        if each.name not in ("controls",):
            parser.add_argument(
                f"--{each.name}", type=type(each.default), default=each.default, help="of the large survey"
            )
    given = vars(parser.parse_args())
    server = Server(**{each.name: given[each.name] for each in fields(Server)})
    large = Large(**{each.name: given[each.name] for each in fields(Large) if each.name in given})
    file: Path | None = given["costs"]
    if file is not None and file.exists():
        costs, held = _from_json(json.loads(file.read_text()))
    else:
        with tempfile.TemporaryDirectory() as folder:
            costs, held = measure_all(given["folder"] or Path(folder))
        if file is not None:
            file.write_text(json.dumps({"costs": _plain(costs), "held": _plain(held)}, indent=1))
    show_costs(costs, server)
    imports = costs["locks"]["imports"]
    for count in given["workers"]:
        waiting = count * imports.reads / server.read_rate
        print(f"{count:,} workers whose Python lies on the file server: {waiting:,.0f} s of its time for their imports")
    # What is simulated has Python on the machines themselves.
    costs = {way: {**units, "imports": replace(imports, reads=0.0)} for way, units in costs.items()}
    show_workers(costs, server, given["workers"], given["tile_seconds"])
    show_large(costs, held, server, large)


def _plain(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {way: {name: asdict(value) for name, value in units.items()} for way, units in tables.items()}


def _from_json(told: Any) -> tuple[Costs, dict[str, dict[str, Held]]]:
    costs = {way: {name: Cost(**value) for name, value in units.items()} for way, units in told["costs"].items()}
    held = {part: {name: Held(**value) for name, value in units.items()} for part, units in told["held"].items()}
    return costs, held


if __name__ == "__main__":
    main()
