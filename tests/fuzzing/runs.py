"""Runs of every kind, tiny, and what may be wrong with every file in them."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fuzzing.children import Surroundings, command_line
from fuzzing.mutation import DAMAGES
from fuzzing.trial import Trial, lay_out

__all__ = ["GROUPS", "make_runs", "places", "run_trial"]

QUIET = ("--examples", "10", "--plan", "loop", "--no_pictures")
TRAIN = ("train", "--epochs", "0.35", "--model.hidden", "8", "--snapshots", "step:2")
FIT = (
    "fit", "--steps", "4", "--size", "5", "--cells", "2", "--batch_size", "4", "--padding", "0", "--model.hidden", "8",
    *QUIET,
)  # fmt: skip
SURVEY = ("survey", "--grid", "3", *QUIET)
CONNECT = ("connect", "t0", "t1", "--steps", "4", "--grid", "3", "--plane", "3", *QUIET)
COMPARE = ("compare", "t0", "t1", "--grid", "3", "--line", "3", "--slice_points", "3", "--repeats", "1", *QUIET)


@dataclass(frozen=True)
class Subject:
    """A run that is damaged."""

    argv: tuple[str, ...]
    """What makes it, without --out."""
    readers: tuple[tuple[str, ...], ...] = ()
    """Command lines that read it, beside those that read every run; RUN stands for it."""
    needs: tuple[str, ...] = ()
    """Runs that it was made from."""
    stops: int = 0
    """How often the run asks whether to stop before the answer is yes; 0: it runs to its end."""


OUT = ("--out", "o")
OF_TRAININGS = (
    (*SURVEY, "--checkpoint", "RUN", "--directions", "random", *OUT),
    (*SURVEY, "--checkpoint", "RUN@2", "--directions", "random", *OUT),
    (*SURVEY, "--checkpoint", "RUN/model.safetensors", "--directions", "random", "towards:RUN@0", *OUT),
    (*SURVEY, "--trajectory", "RUN", *OUT),
    (*SURVEY, "--between", "RUN", "t1", *OUT),
    ("compare", "RUN", "t1", *COMPARE[3:], *OUT),
    ("connect", "RUN", "t1", *CONNECT[3:], "--no_ensembles", *OUT),
    (*TRAIN, "--init_from", "RUN", *OUT),
    (*FIT, "--checkpoint", "RUN", *OUT),
)
OF_CHARTS = ((*SURVEY, "--run", "RUN", *OUT),)
OF_ALL = (
    ("RESUME",),
    ("REOPEN",),
    ("view", "RUN", "--no_pictures", "--export", "RUN.csv"),
    ("view", "RUN", "--kinds", "loss"),
    ("status", "RUN"),
    (*FIT, "--plan", "RUN/provenance.json", *OUT),
    ("fit", "--config", "RUN/config.yaml", "--print_config", *OUT),
)
SUBJECTS: dict[str, Subject] = {
    "t0": Subject(TRAIN, OF_TRAININGS),
    "t1": Subject((*TRAIN, "--seed", "1")),
    "begun_training": Subject(TRAIN, (("RESUME",),) * 8, stops=3),
    "fit": Subject(FIT, OF_CHARTS),
    "begun_fit": Subject(FIT, (("RESUME",),) * 8, stops=2),
    "survey": Subject((*SURVEY, "--checkpoint", "t0"), OF_CHARTS, needs=("t0",)),
    "way": Subject((*SURVEY, "--trajectory", "t0"), OF_CHARTS, needs=("t0",)),
    "again": Subject((*SURVEY, "--run", "fit"), OF_CHARTS, needs=("fit",)),
    "curve": Subject(CONNECT, OF_CHARTS, needs=("t0", "t1")),
    "begun_curve": Subject(CONNECT, (("RESUME",),) * 8, needs=("t0", "t1"), stops=2),
    "comparison": Subject(COMPARE, (("view", "RUN/surveys/t0--t1"),), needs=("t0", "t1")),
}
GROUPS = (
    (("t0",), ("t1",)),
    (("begun_training", "fit", "begun_fit", "survey", "way", "again"), ("curve", "begun_curve", "comparison")),
)
"""Which runs are made one after the other, and which beside each other."""
RESUMES = ("RESUME", "REOPEN")
PICTURED = 0.02
"""Share of resumed runs that draw their pictures, which takes seconds."""


def make_runs(names: Sequence[str], folder: Path) -> None:
    """Make some runs in a folder that has those that they are made from."""
    scratch = folder / f".{names[0]}"
    scratch.mkdir()
    for name in names:
        subject = SUBJECTS[name]
        with _stopping(subject.stops):
            ended = command_line((*subject.argv, "--out", name), folder, scratch)
        assert ended.code == (130 if subject.stops else 0), ended
    shutil.rmtree(scratch)


@contextmanager
def _stopping(asked: int) -> Iterator[None]:
    """Have runs stop when they ask for the so-manyth time; never where that is 0."""
    from lossatlas.cli import configured

    left, usual = [asked], configured.is_asked_to_stop

    def stop() -> bool:
        left[0] -= 1
        return left[0] == 0

    configured.is_asked_to_stop = stop  # type: ignore[attr-defined]
    try:
        yield
    finally:
        configured.is_asked_to_stop = usual  # type: ignore[attr-defined]


def places(runs: Path) -> dict[str, list[str]]:
    """What can be damaged, files and folders of runs, by what they are: ``survey: survey.zarr/VARIABLE/zarr.json``."""
    found: dict[str, list[str]] = {}
    for name in SUBJECTS:
        for path in sorted((runs / name).rglob("*")):
            inside = path.relative_to(runs / name).as_posix()
            found.setdefault(f"{name}: {_kind(inside)}", []).append(inside)
    return found


def _kind(name: str) -> str:
    """What a file or folder of a run is."""
    name = re.sub(r"surveys/[^/]+", "surveys/RUN", name)
    name = re.sub(r"(\.zarr)/(?!zarr\.json)[^/]+", r"\1/VARIABLE", name)
    name = re.sub(r"VARIABLE/c(/.*)?$", r"VARIABLE/chunk", name)
    name = re.sub(r"(\.locks)/[^/]+", r"\1/LOCK", name)
    return re.sub(r"\d+\.safetensors", "N.safetensors", name)


def run_trial(rng: random.Random, runs: Path, box: Path, place: str, names: Sequence[str]) -> Trial:
    """A command line that reads a run of which one file or folder is not what it was.

    Args:
        rng: decides everything.
        runs: those that :func:`make_runs` made.
        box: a folder for copies of them.
        place: what is damaged, one of :func:`places`.
        names: of files or folders there, of which one is damaged.
    """
    subject = SUBJECTS[place.partition(":")[0]]
    run = place.partition(":")[0]
    argv = rng.choice((*OF_ALL, *subject.readers))
    work = lay_out(box, runs, (run, *subject.needs, *(name for name in ("t0", "t1") if name in argv)))
    path = work / run / rng.choice(sorted(names))
    if argv[0] == "REOPEN":
        (work / run / "summary.json").unlink(missing_ok=True)
    damage = "gone with the summary"
    if path.is_dir():
        damage = _damage_folder(rng, path, box)
    elif path.exists():
        damage = rng.choice(("inside", *DAMAGES))  # what is likeliest to get past the first look
        DAMAGES[damage](rng, path, box)
    if argv[0] in RESUMES:
        pictures = ("--no_pictures",) if "--no_pictures" in subject.argv else ()
        options = () if rng.random() < 0.3 else tuple(token for token in subject.argv[1:] if token not in pictures)
        argv = (subject.argv[0], *options, *(pictures if rng.random() > PICTURED else ()), "--resume", "--out", "RUN")
    argv = tuple(token.replace("RUN", run) for token in argv)
    own = [run, f"{run}.csv"] if argv[0] == "view" or "--resume" in argv else []
    if named := str(path.relative_to(work)) in argv:
        own.append("../outside")  # who names a link means what it leads to
    return Trial(
        f"{path.relative_to(work)} {damage}",
        argv,
        own=(*own, "o"),
        surroundings=Surroundings(unprivileged=damage == "unreadable"),
        sealed=damage == "link" and not named,
    )


def _damage_folder(rng: random.Random, path: Path, box: Path) -> str:
    damage = rng.choice(("missing", "empty", "file", "link", "pipe", "stranger"))
    if damage == "stranger":
        name = path / rng.choice(
            ("x", "zarr.json", "index.jsonl", "000000001.safetensors", ".x.partial", "a b\n\x1b[2J", "0", "c")
        )
        if not name.exists():
            rng.choice((name.mkdir, name.touch, lambda: os.mkfifo(name), lambda: name.symlink_to(box / "victim")))()
        return damage
    path.rename(box / "outside")
    if damage == "empty":
        path.mkdir()
    elif damage == "file":
        path.write_bytes(rng.choice((b"", b"text")))
    elif damage == "link":
        path.symlink_to(box / rng.choice(("outside", "outside", "nothing")))
    elif damage == "pipe":
        os.mkfifo(path)
    return damage
