"""Surveys whose workers are killed, each once and at a random moment, under every way of sharing the work.

Workers of the executors are killed by ``kill -9`` while their head goes on; under leases there is no head: the same
command is started several times with ``--resume``, each is killed once, and started again as a scheduler would. Each
survey is compared with that of one process: every array of the store, which points are marked, and which files there
are. One that does not end within a bound counts as hanging.

    python benchmarks/lost_workers.py                     20 surveys under each of local, ray and leases
    python benchmarks/lost_workers.py local --runs 5
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from lossatlas.cli.process import settle

settle()
TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

import numpy as np
import torch
from same_runs import differences
from spread_cases import HEAD, PIDS, network

import lossatlas as la

WAYS = "local", "ray", "leases"
LEASE_SECONDS = 2.0
"""After how long a lease expires here; two minutes elsewhere."""
LONGEST = 300.0
"""Seconds after which a survey counts as hanging."""
LATEST = 2.0
"""Seconds within which a worker is killed after it was first seen."""
SURVEY = (
    "survey", "--model", "spread_cases:network", "--data", "spread_cases:data", "--checkpoint", "weights.pt",
    "--grid", "12", "--tile_points", "9", "--plan", "plan.json", "--metrics", "loss", "spread_cases:Slow",
    "--device", "cpu", "--no_pictures",
)  # fmt: skip
HURRIED = f"from lossatlas.locks import heartbeats; heartbeats.LEASE_SECONDS = {LEASE_SECONDS}; "
MAIN = "import sys; from lossatlas.cli import main; sys.exit(main())"


@dataclass
class Killer:
    """Kills the first so many processes that leave their numbers in a folder, each some time after it is seen."""

    folder: Path
    count: int
    draw: random.Random
    due: dict[int, float] = field(default_factory=dict)
    killed: int = 0

    def look(self, spared: set[int]) -> None:
        now = time.monotonic()
        for pid in sorted({int(path.name) for path in self.folder.iterdir()} - spared):
            if pid not in self.due and len(self.due) < self.count:
                self.due[pid] = now + self.draw.uniform(0, LATEST)
        for pid, moment in self.due.items():
            if 0 < moment <= now:
                self.due[pid] = 0.0
                try:
                    os.kill(pid, signal.SIGKILL)
                    self.killed += 1
                except ProcessLookupError:
                    print(f"process {pid} had ended before its moment", file=sys.stderr)


def leased(way: str) -> bool:
    """Whether there is no head, but the same command several times."""
    return way == "leases"


def command(folder: Path, *more: str, hurried: bool = False) -> subprocess.Popen[bytes]:
    code = (HURRIED if hurried else "") + MAIN
    environment = {
        **os.environ, HEAD: "0", PIDS: str(folder / "pids"), "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
    }  # fmt: skip
    output = (folder / "output.txt").open("ab")
    return subprocess.Popen(
        [sys.executable, "-c", code, *SURVEY, "--out", "run/run", *more], cwd=folder, env=environment,
        stdout=output, stderr=output,
    )  # fmt: skip


def survey(way: str, folder: Path, workers: int, draw: random.Random) -> tuple[int, float]:
    """Carry out a survey whose workers are killed; returns how many were, and the seconds that it took."""
    killer, started = Killer(folder / "pids", workers, draw), time.monotonic()
    if leased(way):
        more = ("--resume", "--claims", "leases")
        processes = [command(folder, *more, hurried=True) for _ in range(workers)]
    else:
        processes = [command(folder, "--executor", way, "--workers", str(workers))]
    while any(process.poll() is None for process in processes):
        killer.look(set() if leased(way) else {process.pid for process in processes})
        for place, process in enumerate(processes):
            if leased(way) and process.poll() == -signal.SIGKILL:
                processes[place] = command(folder, *more, hurried=True)
        if time.monotonic() - started > LONGEST:
            for process in processes:
                process.kill()
            raise RuntimeError("hangs")
        time.sleep(0.02)
    if codes := [process.returncode for process in processes if process.returncode]:
        raise RuntimeError(f"ended with {codes}: {(folder / 'output.txt').read_text()[-400:]}")
    return killer.killed, time.monotonic() - started


def prepare(folder: Path, plan: Path | None) -> None:
    (folder / "pids").mkdir(parents=True)
    torch.save(network().state_dict(), folder / "weights.pt")
    if plan is not None:
        (folder / "plan.json").write_bytes(plan.read_bytes())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"any of {', '.join(WAYS)}; default all")
    parser.add_argument("--runs", type=int, default=20, help="surveys under each")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    wrong: list[str] = []
    print(
        "| way | surveys | killed workers | equal | left behind | slowest |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    with tempfile.TemporaryDirectory(prefix="lossatlas.") as temporary:
        whole = Path(temporary) / "whole"
        prepare(whole, None)
        (whole / "plan.json").write_text("")
        (whole / "plan.json").write_text(json.dumps(la.Plan.of("loop", points=4).to_dict()))
        if command(whole).wait():
            raise SystemExit((whole / "output.txt").read_text())
        for way in options.ways or WAYS:
            killed = equal = left = 0
            slowest = 0.0
            for number in range(options.runs):
                folder = Path(temporary) / f"{way}{number}"
                prepare(folder, whole / "plan.json")
                try:
                    count, seconds = survey(
                        way, folder, options.workers, random.Random(f"{options.seed} {way} {number}")
                    )
                except RuntimeError as error:
                    wrong.append(f"{way} {number}: {error}")
                    continue
                killed, slowest = killed + count, max(slowest, seconds)
                found = differences(folder / "run", whole / "run")
                done = la.open_run(folder / "run" / "run").survey
                ignored = "run/provenance.json", ".locks", ".writers"  # the first has paths
                unequal = [name for name in found.unequal if not any(part in name for part in ignored)]
                if unequal or not all(np.isfinite(done[name]).all() for name in done.data_vars):
                    wrong.append(f"{way} {number}: {unequal}")
                else:
                    equal += 1
                # Under leases whoever ends last cannot know yet that others were killed a moment ago.
                debris = [name for name in found.debris if ".locks" not in name and ".leases" not in name]
                left += len(debris)
                wrong += [f"{way} {number} left {name}" for name in debris if not leased(way)]
            print(f"| {way} | {options.runs} | {killed} | {equal} | {left} | {slowest:.0f} s |", flush=True)
    for line in wrong:
        print(line, file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
