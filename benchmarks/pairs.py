"""Pairs of processes that start at random distances with one --out: one makes the run, the other is refused clearly.

python benchmarks/pairs.py --pairs 100 --seed 0

Every verb that goes step by step takes its turn. The second process comes as it is, with --resume or with --overwrite,
at any moment of the first one's life or after it. What counts as right: one of them ends with 0, the other with 0 (it
came after the end and continued or replaced a finished run) or with 2 and one line that says why; and all that is left
equals what a single undisturbed process leaves, except for times.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from pkgutil import walk_packages

from lossatlas.cli.process import settle

settle()
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from same_runs import differences

import lossatlas
from lossatlas.cli.main import main
from lossatlas.reproduce import studies

QUICK = ["--model.hidden", "8", "--device=cpu"]
FAST = ["--plan=loop", "--no_pictures"]
VERBS: dict[str, list[str]] = {
    "train": ["train", *QUICK, "--epochs=4", "--snapshots=step:9", "--checkpoint_seconds=0.02"],
    "fit": ["fit", *QUICK, *FAST, "--steps=60", "--size=8x10", "--examples=60", "--checkpoint_seconds=0.02"],
    "connect": ["connect", "a", "b", *FAST, "--steps=30", "--grid=7", "--plane=3", "--examples=60"],
    "compare": ["compare", "a", "b", *FAST, "--grid=3", "--line=3", "--slice_points=3", "--repeats=1", "--examples=40"],
    "reproduce": ["reproduce", "tiny"],
}
CLEAR = re.compile(
    r"is being written by (process \d+ on \S+ since|another process)|exists; choose|appeared while|moment"
)


def start(tokens: list[str], folder: Path, errors: Path, delay: float = 0.0) -> int:
    """Fork a process that carries out a command line; returns its number."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        time.sleep(delay)
        os.chdir(folder)
        with errors.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            status = main(tokens)
            sys.stderr.flush()
    finally:
        os._exit(status)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def judge(whole: Path, box: Path, codes: list[int], said: list[str]) -> str:
    """What is wrong with a pair; empty where nothing is."""
    if any("Traceback" in text for text in said):
        return "traceback"
    if sorted(codes) not in ([0, 0], [0, 2]):
        return f"codes {codes}"
    for code, text in zip(codes, said, strict=True):
        if code == 2 and not (CLEAR.search(" ".join(text.split())) and len(text.splitlines()) == 1):
            return f"said {text!r}"
    found = differences(box, whole)
    return "; ".join([f"{name} is another" for name in found.unequal] + [f"{name} is left" for name in found.debris])


def main_of_pairs() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["OMP_NUM_THREADS"] = "1"
    studies.__path__.append(str(Path(__file__).parent / "studies"))
    for module in walk_packages(lossatlas.__path__, "lossatlas."):
        if "callbacks" not in module.name and "__" not in module.name:
            __import__(module.name)
    draw, outcomes, wrong = random.Random(options.seed), Counter[tuple[str, str]](), []
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        for seed, run in enumerate("ab"):
            tokens = ["train", *QUICK, "--epochs=2", f"--seed={seed}", f"--out={run}"]
            assert ended(start(tokens, base, base / "errors")) == 0, (base / "errors").read_text()
        whole, seconds = {}, {}
        for verb, tokens in VERBS.items():
            box, begin = made(base), time.perf_counter()
            assert ended(start([*tokens, "--out=out"], box, base / "errors")) == 0, (base / "errors").read_text()
            seconds[verb] = time.perf_counter() - begin
            whole[verb] = box.rename(base / f"whole-{verb}")
        for number in range(options.pairs):
            verb = list(VERBS)[number % len(VERBS)]
            box, logs = made(base), [base / f"{number}.{k}" for k in range(2)]
            how = draw.choice([[], ["--resume"], ["--overwrite"]])
            tokens = [*VERBS[verb], "--out=out"]
            delay = draw.uniform(0, 1.3) * seconds[verb]
            pids = [start(tokens, box, logs[0]), start([*tokens, *how], box, logs[1], delay)]
            codes = [ended(pid) for pid in pids]
            said = [log.read_text() for log in logs]
            found = judge(whole[verb], box, codes, said)
            outcomes[verb, "right" if not found else "wrong"] += 1
            refused = next((k for k, code in enumerate(codes) if code == 2), None)
            outcomes[verb, "refused" if refused is not None else "after the end"] += 1
            if found:
                wrong.append(f"pair {number} ({verb} {' '.join(how)}, after {delay:.2f} s): {found}")
                print(wrong[-1], *said, sep="\n")
            shutil.rmtree(box)
    print("| verb | pairs | right | one refused | second came after the end |\n|---|---|---|---|---|")
    for verb in VERBS:
        right, no = outcomes[verb, "right"], outcomes[verb, "wrong"]
        print(f"| {verb} | {right + no} | {right} | {outcomes[verb, 'refused']} | {outcomes[verb, 'after the end']} |")
    sys.exit(bool(wrong))


def made(base: Path) -> Path:
    """A folder with the two networks; always of the same name, which runs record."""
    box = base / "box"
    box.mkdir()
    for run in "ab":
        shutil.copytree(base / run, box / run)
    return box


if __name__ == "__main__":
    main_of_pairs()
