"""``make fuzz``: try inputs of all kinds for the given time, keep those that fail, and end with a table."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path

from nursery import Child

from fuzzing.campaign import Tried, again, tries
from fuzzing.judge import OUTCOMES
from fuzzing.runs import GROUPS, make_runs

__all__ = ["made_runs", "main", "table"]

TELLING = 30.0
"""Seconds between lines of progress."""
IN_MEMORY = Path("/dev/shm")
"""Where boxes are made and thrown away by the thousand, if there is such a place."""


def main(argv: Sequence[str] | None = None) -> int:
    """Try inputs, or one again that was kept; 1 where something is wrong, 0 otherwise."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", default="")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="how the names of kinds begin, such as options or formats/png")
    parser.add_argument("--kept", type=Path, default=Path(".fuzz"), help="folder for inputs that fail")
    parser.add_argument("--case", type=Path, default=None, help="one that was kept, to be tried again")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="lossatlas.fuzz.", dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        if given.case is not None:
            return _again(given.case, Path(folder))
        return _campaign(given, Path(folder))


def _again(case: Path, scratch: Path) -> int:
    with Child(again, case.resolve(), scratch) as child:
        if code := child.wait():
            print(f"{child.errors}\nended with {code}")
            return 1
        verdict, told = child.result
    print(f"{told}\n{verdict.outcome}: {verdict.cause or 'as it should be'}")
    return int(verdict.wrong)


def _campaign(given: argparse.Namespace, scratch: Path) -> int:
    seed = given.seed or secrets.token_hex(4)
    print(
        f"seed {seed}, {given.workers} processes for {given.seconds:.0f} s; what fails is kept in {given.kept}",
        flush=True,
    )
    runs = made_runs(scratch)
    until, started, told = time.time() + given.seconds, time.time(), 0.0
    found: Counter[tuple[str, str]] = Counter()
    causes: Counter[str] = Counter()
    children, channels = [], {}
    for worker in range(given.workers):
        ours, theirs = Pipe(duplex=False)
        arguments = (
            theirs,
            str(runs),
            str(scratch / str(worker)),
            str(given.kept.resolve()),
            f"{seed}.{worker}",
            given.only,
            until,
        )
        children.append(Child(tries, *arguments))
        channels[ours] = children[-1]
        theirs.close()
    died = ""
    try:
        while channels:
            for channel in wait(list(channels), timeout=TELLING):
                try:
                    tried: Tried = channel.recv()
                except EOFError:
                    child = channels.pop(channel)
                    if code := child.wait():
                        died = f"a process ended with {code}: {child.errors}"
                    continue
                found[tried.kind, tried.verdict.outcome] += 1
                if tried.verdict.wrong:
                    cause = f"{tried.verdict.outcome}: {tried.verdict.cause}"
                    causes[cause] += 1
                    if causes[cause] == 1:
                        print(
                            f"{tried.kind} {tried.seed}: {cause} ({tried.what})".encode(
                                "ascii", "backslashreplace"
                            ).decode()[:400],
                            flush=True,
                        )
            if time.time() - told > TELLING:
                told = time.time()
                print(f"{told - started:.0f} s: {found.total():,} inputs, {causes.total():,} wrong", flush=True)
    finally:
        for child in children:
            child.__exit__()
    print(f"\n{table(found)}\n")
    print(f"seed {seed}: {found.total():,} inputs in {time.time() - started:.0f} s, {causes.total():,} wrong")
    for cause, count in causes.most_common():
        print(f"- {count} {cause}".encode("ascii", "backslashreplace").decode())
    if died:
        print(died)
    return int(bool(causes) or bool(died))


def made_runs(folder: Path) -> Path:
    """A folder with a run of every kind, made in a folder."""
    runs = folder / "runs"
    runs.mkdir()
    for groups in GROUPS:
        children = [Child(make_runs, names, runs) for names in groups]
        for child in children:
            with child:
                assert child.wait() == 0, child.errors
    return runs


def table(found: Counter[tuple[str, str]]) -> str:
    """A Markdown table of how many inputs of which kind came to what."""
    rows: dict[str, Counter[str]] = {}
    for (kind, outcome), count in found.items():
        group, _, name = kind.partition("/")
        # Files of one kind, whichever run they are of.
        title = f"{group}: {name.partition(': ')[2] if group == 'runs' else name}"
        rows.setdefault(title, Counter())[outcome] += count
    rows["all"] = sum(rows.values(), Counter())
    lines = [
        ["inputs", "number", *OUTCOMES],
        ["---", *["---:"] * (len(OUTCOMES) + 1)],
        *(
            [title, f"{rows[title].total():,}", *(f"{rows[title][outcome]:,}" for outcome in OUTCOMES)]
            for title in [*sorted(rows.keys() - {"all"}), "all"]
        ),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
