"""Trying inputs of all kinds, one after another, and keeping those that fail."""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzzing.children import Ended, Surroundings, command_line
from fuzzing.formats import FORMATS, Read, format_file, read_all, tried
from fuzzing.judge import Verdict, judged, seen, unread, was_read
from fuzzing.options import VERBS, option_trial
from fuzzing.runs import places, run_trial
from fuzzing.trial import WORK, Trial

__all__ = ["Tried", "again", "kinds", "tries", "tries_of"]

BATCH = 200
"""Files of a format that one process reads."""
SAME = 2
"""Inputs that are kept of those that fail alike."""


@dataclass(frozen=True)
class Tried:
    """An input and what it came to."""

    kind: str
    """Such as ``runs/survey: summary.json``, ``options/fit`` or ``formats/png``."""
    seed: str
    verdict: Verdict
    what: str = ""
    """What is hostile in it, where something is wrong."""
    told: str = ""


def kinds(runs: Path) -> list[str]:
    """All kinds of inputs."""
    return [
        *(f"runs/{place}" for place in places(runs)),
        *(f"options/{verb}" for verb in VERBS),
        *(f"formats/{name}" for name in FORMATS),
    ]


class Bench:
    """Where inputs are tried.

    Args:
        runs: that are there to be read and damaged.
        scratch: a folder of its own.
        kept: a folder for inputs that fail; None keeps none.
    """

    def __init__(self, runs: Path, scratch: Path, kept: Path | None) -> None:
        self._runs = runs
        self._places = places(runs)
        self._scratch = scratch
        self._kept = kept
        scratch.mkdir(parents=True, exist_ok=True)
        scratch.chmod(0o755)  # a user without privileges works in it

    def try_all(self, kind: str, seeds: Sequence[str]) -> Iterator[Tried]:
        """Try one input of a kind for each seed."""
        group, _, name = kind.partition("/")
        if group == "formats":
            found: list[Read] = []
            read_all(name, seeds, self._scratch, found.append)
            for read in found:
                tried_ = Tried(kind, read.seed, read.verdict, name, read.told)
                self._keep(tried_, lambda folder, seed=read.seed: self._keep_file(name, seed, folder))
                yield tried_
            return
        for seed in seeds:
            yield self._try_line(kind, name, seed)

    def _try_line(self, kind: str, name: str, seed: str) -> Tried:
        rng, box = random.Random(f"{kind} {seed}"), self._scratch / "box"
        if kind.startswith("runs/"):
            trial = run_trial(rng, self._runs, box, name, self._places[name])
        else:
            trial = option_trial(rng, self._runs, box, name)
        before = self._scratch / "before"
        if self._kept is not None:
            _copy(box, before)
        verdict, ended = tried_line(trial, box, self._scratch)
        found = Tried(
            kind, seed, verdict, f"{trial.what}: lossatlas {' '.join(trial.argv)}"[:400], ended.errors[-3000:]
        )
        self._keep(found, lambda folder: self._keep_box(trial, before, box, folder))
        return found

    def _keep(self, found: Tried, save: Callable[[Path], dict[str, Any]]) -> None:
        """Put an input aside that fails, unless there are some like it."""
        if self._kept is None or not found.verdict.wrong:
            return
        name = f"{abs(hash_of(found.verdict.cause)):08x}"[:8]
        for number in range(SAME):
            folder = self._kept / f"{found.verdict.outcome.replace(' ', '_')}-{name}-{number}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            case = {**asdict(found), **save(folder)}
            (folder / "case.json").write_text(json.dumps(case, indent=1))
            return

    def _keep_file(self, name: str, seed: str, folder: Path) -> dict[str, Any]:
        path = format_file(random.Random(seed), name, folder)
        return {"format": name, "file": path.name}

    def _keep_box(self, trial: Trial, before: Path, box: Path, folder: Path) -> dict[str, Any]:
        _copy(before, folder / "box")
        return {"box": str(box), "trial": asdict(trial)}


def tried_line(trial: Trial, box: Path, scratch: Path) -> tuple[Verdict, Ended]:
    """What a command line comes to in a box that is laid out."""
    before, outside = seen(box), box / "outside"
    if trial.sealed:
        unread(outside)
    ended = command_line(trial.argv, box / WORK, scratch, trial.surroundings)
    verdict = judged(ended, before, box, [os.path.normpath(f"{WORK}/{name}") for name in trial.own])
    if not verdict.wrong and trial.sealed and was_read(outside):
        verdict = Verdict("read outside", f"exit {verdict.outcome}: {trial.what.rpartition('/')[2]}")
    return verdict, ended


def again(case: Path, scratch: Path) -> tuple[Verdict, str]:
    """Try an input again that was kept."""
    folder = case if case.is_dir() else case.parent
    told = json.loads((folder / "case.json").read_text())
    if "format" in told:
        copy = scratch / told["file"]
        shutil.copyfile(folder / told["file"], copy)
        return tried(FORMATS[told["format"]].read, copy)
    box = Path(told["box"])  # names in it may be whole paths
    if box.exists():
        raise FileExistsError(f"{box} is there, where a campaign is running; try the case again when it has ended")
    _copy(folder / "box", box)
    fields = told["trial"]
    trial = Trial(
        fields["what"],
        tuple(fields["argv"]),
        tuple(fields["own"]),
        Surroundings(**fields["surroundings"]),
        fields["sealed"],
    )
    verdict, ended = tried_line(trial, box, scratch)
    shutil.rmtree(box)
    return verdict, ended.errors


def _copy(folder: Path, copy: Path) -> None:
    """A folder with its links, pipes, owners and times."""
    if copy.exists():
        shutil.rmtree(copy)
    copy.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--sparse=always", str(folder), str(copy)], check=True)


def hash_of(text: str) -> int:
    """A number that is the same in every process."""
    import zlib

    return zlib.crc32(text.encode(errors="replace"))


def tries(channel: Connection, runs: str, scratch: str, kept: str | None, seed: str, only: str, until: float) -> None:
    """Try inputs until a time, each group of kinds for its share of it; tells of each by a channel."""
    gc.freeze()  # forks copy what is counted
    bench = Bench(Path(runs), Path(scratch), Path(kept) if kept else None)
    every = [kind for kind in kinds(Path(runs)) if kind.startswith(only)]
    spent = {group: 0.0 for group in SHARES if any(kind.startswith(group) for kind in every)}
    rng, number = random.Random(seed), 0
    while time.time() < until:
        group = min(spent, key=lambda name: spent[name] / SHARES[name])
        kind = rng.choice([kind for kind in every if kind.startswith(group)])
        started = time.perf_counter()
        count = BATCH if group == "formats" else 1
        for found in bench.try_all(kind, [f"{seed}/{number + i}" for i in range(count)]):
            channel.send(found)
        number += count
        spent[group] += time.perf_counter() - started
    channel.close()


def tries_of(chosen: Sequence[tuple[str, Sequence[str]]], runs: Path, scratch: Path) -> list[Tried]:
    """Try inputs of given kinds and seeds; returns those that fail."""
    gc.freeze()  # forks copy what is counted
    bench = Bench(runs, scratch, None)
    return [found for kind, seeds in chosen for found in bench.try_all(kind, seeds) if found.verdict.wrong]


SHARES = {"runs": 0.45, "options": 0.3, "formats": 0.25}
"""Of the time."""
