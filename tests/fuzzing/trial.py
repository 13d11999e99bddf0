"""One command line and the folder that it finds."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing.children import Surroundings

__all__ = ["WORK", "Trial", "lay_out"]

WORK = "work"
"""The folder in the box in which a command line runs."""


@dataclass(frozen=True)
class Trial:
    """A command line that is tried."""

    what: str
    """What is hostile in it."""
    argv: tuple[str, ...]
    own: tuple[str, ...] = ("o",)
    """What it may write, in the folder that it runs in."""
    surroundings: Surroundings = field(default_factory=Surroundings)
    sealed: bool = False
    """Whether what lies outside of the run must not even be read: a link leads there."""


def lay_out(box: Path, runs: Path, names: Iterable[str]) -> Path:
    """A box with copies of some runs in the working folder, and files beside it that must not be touched."""
    if box.exists():
        shutil.rmtree(box)
    work = box / WORK
    work.mkdir(parents=True)
    for folder in (box, work):
        (folder / "victim").mkdir()
        (folder / "victim" / "inside.txt").write_text("keep me")
        (folder / "victim.txt").write_text("keep me")
    for name in dict.fromkeys(names):
        shutil.copytree(runs / name, work / name, symlinks=True)
    return work
