"""Runs in child processes that are killed right before or right after a file is written, and continued to their end."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nursery import forked
from same_runs import Differences, differences
from small_runs import VERBS, begun, prepared

from lossatlas.errors import CannotFinish

__all__ = ["Campaign", "Moment", "campaign", "kill_at", "watch"]

CHANGES = ("replace", "rename", "link", "mkdir", "unlink", "remove", "rmdir")
"""The functions of the system that change a folder; what matters of two paths is the last."""
TWO_PATHS = {"replace", "rename", "link"}
TEMPORARY = re.compile(r"\.[0-9a-f]{32}(?=\.partial$)")
"""What zarr puts into the names of temporary files."""
RUN = "run"
"""What every run is called, in a folder of its own."""


@dataclass(frozen=True)
class Moment:
    """Right before or after a change of a file, or before it is opened to be written."""

    when: str
    what: str
    path: str
    """Within the folder that is watched."""

    @property
    def kind(self) -> str:
        """All of it but for numbers: one of many snapshots, of many chunks."""
        return f"{self.when} {self.what} {re.sub(r'[0-9]+', 'N', self.path)}"


def watch(folder: Path, on_moment: Callable[[Moment], None]) -> None:
    """Have this process tell of each change to the files in a folder, from here on and for good."""
    inside = f"{folder}{os.sep}"

    def tell(when: str, what: str, path: Any) -> None:
        if isinstance(path, str | os.PathLike) and (name := os.fspath(path)).startswith(inside):
            on_moment(Moment(when, what, TEMPORARY.sub("", name.removeprefix(inside))))

    def told(what: str) -> Callable[..., Any]:
        change = getattr(os, what)

        def changed(*arguments: Any, **options: Any) -> Any:
            path = arguments[1 if what in TWO_PATHS else 0]
            if (handle := options.get("dir_fd")) is not None:
                path = Path(f"/proc/self/fd/{handle}").readlink() / path
            tell("before", what, path)
            result = change(*arguments, **options)
            tell("after", what, path)
            return result

        return changed

    def opened(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            tell("before", "open", arguments[0])

    for what in CHANGES:
        setattr(os, what, told(what))
    sys.addaudithook(opened)


def killed() -> None:
    """End this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def full_disk() -> None:
    """Let this process write nothing more: no file may have a byte, which fails as a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def kill_at(count: int, folder: Path, moment: Moment | None = None, fate: Callable[[], None] = killed) -> None:
    """Have this process meet its fate when a moment has come so many times; any moment where none is given."""
    seen = 0

    def look(now: Moment) -> None:
        nonlocal seen
        seen += moment in (None, now)
        if seen == count and moment in (None, now):
            fate()

    watch(folder, look)


@dataclass(frozen=True)
class Campaign:
    """What became of runs that were killed."""

    moments: list[Moment]
    """At which they were, each within a run that was there."""
    ends: list[Differences]
    """Between each run and one that was not killed."""


def campaign(
    verb: str,
    folder: Path,
    inputs: Path,
    kills: int,
    runs: int = 1,
    seed: int = 0,
    pictures: bool = False,
    full: bool = False,
) -> Campaign:
    """Kill runs of a verb and continue them, as often as it takes; to be called in a process that computes nothing.

    Moments are drawn from those of a run that is not killed, such that different files come first.

    Args:
        verb: of :data:`small_runs.VERBS`.
        folder: for the runs.
        inputs: a folder for the networks that runs are made of, which campaigns can share.
        kills: so many, each after a run has begun.
        runs: that they are spread over, about.
        seed: of the moments.
        pictures: draw them as well.
        full: let them meet a full disk instead, by which they end in one line.

    Raises:
        RuntimeError: a child failed.
    """
    draw, whole, place = random.Random(seed), folder / "whole", folder / "place"
    place.mkdir(parents=True)
    _ended(forked(_prepared, inputs))
    _ended(forked(_recorded, verb, place, inputs, folder / "moments.json", pictures))
    place.rename(whole)  # runs that name paths are equal where they were made in the same place
    moments = [Moment(*moment) for moment in json.loads((folder / "moments.json").read_text())]
    left: list[str] = []
    reached: list[Moment] = []
    ends: list[Differences] = []
    while len(reached) < kills:
        if len(ends) > runs + kills:
            raise RuntimeError(f"{len(ends)} runs had {len(reached)} kills")
        wanted = min(max(1, -(-kills // runs)), kills - len(reached))
        place.mkdir()
        for count, moment in _drawn(moments, wanted, left, draw):
            if not _ended(forked(_carried_out, verb, place, inputs, pictures, count, moment, full)):
                continue
            if begun(verb, place / RUN):
                reached.append(moment)
        _ended(forked(_carried_out, verb, place, inputs, pictures))
        _ended(forked(_compared, place, whole, folder / "differences.json"))
        ends.append(Differences(*json.loads((folder / "differences.json").read_text())))
        place.rename(folder / f"{len(ends)}")
    return Campaign(reached, ends)


def _drawn(moments: Sequence[Moment], count: int, left: list[str], draw: random.Random) -> list[tuple[int, Moment]]:
    """Moments in their order, and how many like it come after the one before; kinds that are left come first."""
    places: dict[str, list[int]] = {}
    for place, moment in enumerate(moments):
        places.setdefault(moment.kind, []).append(place)
    chosen = set()
    while len(chosen) < min(count, len(places)):
        if not left:
            left += draw.sample(sorted(places), len(places))
        chosen.add(draw.choice(places[left.pop()]))
    found, before = [], 0
    for place in sorted(chosen):
        found.append((Counter(moments[before : place + 1])[moments[place]], moments[place]))
        before = place + 1
    return found


def _ended(child: int) -> bool:
    """Wait for a child; whether it met its fate."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == CannotFinish.exit_code:
        return True
    if status:
        raise RuntimeError(f"a child failed with status {status}")
    return False


def _prepared(inputs: Path) -> None:
    torch.set_num_threads(1)
    prepared(inputs)


def _recorded(verb: str, place: Path, inputs: Path, file: Path, pictures: bool) -> None:
    """Carry out a run, and write down its moments since it has begun."""
    moments: list[tuple[str, str, str]] = []

    def record(moment: Moment) -> None:
        if moments or begun(verb, place / RUN):
            moments.append((moment.when, moment.what, moment.path))

    torch.set_num_threads(1)
    watch(place, record)
    VERBS[verb](place / RUN, inputs, pictures)
    file.write_text(json.dumps(moments))


def _carried_out(
    verb: str,
    place: Path,
    inputs: Path,
    pictures: bool,
    count: int = 0,
    moment: Moment | None = None,
    full: bool = False,
) -> None:
    torch.set_num_threads(1)
    if count:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # what is too large is an error then
        kill_at(count, place, moment, full_disk if full else killed)
    try:
        VERBS[verb](place / RUN, inputs, pictures)
    except (CannotFinish, OSError) as error:
        if not full or (isinstance(error, OSError) and verb != "loop"):  # whose files are not all ours
            raise
        os._exit(CannotFinish.exit_code)


def _compared(place: Path, whole: Path, file: Path) -> None:
    file.write_text(json.dumps(differences(place, whole)))
