"""Whether a command line ended as every one has to: with a known exit code, one line, and nothing left behind."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fuzzing.children import Ended

__all__ = ["OUTCOMES", "Verdict", "general", "judged", "seen", "unread", "was_read", "where"]

OUTCOMES = (
    "0", "2", "3", "stopped",
    "traceback", "crash", "hang", "other code", "several lines", "left behind", "read outside",
)  # fmt: skip
RIGHT = OUTCOMES[:4]
GOOD, BAD_INPUT, CANNOT_FINISH, INTERRUPTED, TRACEBACK = 0, 2, 3, 130, 1
LONGEST = 4096
"""Characters of a line."""
OURS = "lossatlas: "
TOLD = re.compile(r"lossatlas: (note: |.*: damaged )")
"""Lines that may stand before the one that refuses."""
NOISE = re.compile(r"Traceback|Exception ignored|Warning: |Error: |Fatal|terminate called|core dumped")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
LOCK = re.compile(r"/\.writers$|\.locks/[^/]*$")
DEBRIS = re.compile(r"\.partial|/\.[^/]*\.\w{8}$")
FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
EARLIER = 1000.0
"""Seconds by which files were read before they were changed: reading is noticed once after a change."""


@dataclass(frozen=True)
class Verdict:
    """What an input came to."""

    outcome: str
    """One of :data:`OUTCOMES`."""
    cause: str = ""
    """The same for inputs that fail alike; empty where nothing is wrong."""

    @property
    def wrong(self) -> bool:
        """Whether lossatlas is to be mended."""
        return self.outcome not in RIGHT


def judged(ended: Ended, before: dict[str, object], box: Path, own: Iterable[str]) -> Verdict:
    """The verdict on a command line.

    Args:
        ended: how it ended.
        before: what :func:`seen` saw of the box.
        box: the folder of everything that it was given.
        own: what it may write, from there on.
    """
    lines = ended.errors.splitlines()
    last = lines[-1] if lines else ""
    if ended.signal:
        return Verdict("crash", f"signal {ended.signal}")
    if ended.hung:
        return Verdict("hang", where(ended.errors, innermost=False) or "somewhere")
    if "Traceback (most recent call last)" in ended.errors or ended.code == TRACEBACK:
        return Verdict("traceback", where(ended.errors) or last[:200])
    if ended.code not in (GOOD, BAD_INPUT, CANNOT_FINISH) and not (ended.code == INTERRUPTED and ended.asked):
        return Verdict("other code", f"{ended.code}: {general(last)}")
    outcome = "stopped" if ended.code == INTERRUPTED else str(ended.code)
    if found := next((line for line in lines if NOISE.search(line) and not line.startswith(OURS)), ""):
        return Verdict("several lines", general(found))
    if outcome != "0":
        more = [line for line in lines[:-1] if not TOLD.match(line)] if outcome == "2" else []
        if not last.startswith(OURS) or more:
            return Verdict("several lines", f"exit {outcome}: {general(more[0] if more else last)}")
    if found := next((line for line in lines if CONTROL.search(line)), ""):
        return Verdict("several lines", f"control characters: {general(found)}")
    if found := next((line for line in lines if len(line) > LONGEST), ""):
        return Verdict("several lines", f"{len(found)} characters: {general(found)}")
    changed = _changes(before, seen(box), tuple(own), refused=outcome == "2")
    if changed:
        told = sorted({re.sub(r"\d+", "N", each) for each in changed})[:3]
        return Verdict("left behind", f"exit {outcome}: {'; '.join(told)}")
    return Verdict(outcome)


def seen(box: Path) -> dict[str, object]:
    """All there is in a folder, and what changes with it."""
    found: dict[str, object] = {}
    for folder, names, files in os.walk(box):
        for name in (*names, *files):
            path = os.path.join(folder, name)  # noqa: PTH118 (a hundred files, a thousand times)
            status = os.lstat(path)
            is_folder = name in names and not os.path.islink(path)  # noqa: PTH114
            # A file that appeared and went leaves the time of its folder, and nothing that anybody misses.
            found[os.path.relpath(path, box)] = (
                "folder" if is_folder else (status.st_ino, status.st_size, status.st_mtime_ns)
            )
    return found


def _changes(before: dict[str, object], after: dict[str, object], own: tuple[str, ...], *, refused: bool) -> list[str]:
    """What differs outside of what may be written, and temporary files anywhere."""
    found = []
    for name in sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)):
        told = "gone" if name not in after else "new" if name not in before else "changed"
        is_own = any(name == each or name.startswith(f"{each}/") for each in own)
        # Who looks at a run that is to be continued holds its lock, which says who.
        if not is_own or (refused and not (told == "changed" and LOCK.search(name))):
            found.append(f"{told}: {name}")
        elif told == "new" and DEBRIS.search(name):
            found.append(f"debris: {name}")
    return found


def unread(path: Path) -> None:
    """Set the access times of files back, so that :func:`was_read` notices a reading."""
    for each in (path, *path.rglob("*")) if path.is_dir() else (path,):
        status = each.lstat()
        if not each.is_symlink():
            os.utime(each, ns=(status.st_mtime_ns - int(EARLIER * 1e9), status.st_mtime_ns))


def was_read(path: Path) -> bool:
    """Whether one of the files that :func:`unread` marked has been read."""
    every = [path, *path.rglob("*")] if path.is_dir() else [path]
    return any(
        each.is_file()
        and not each.is_symlink()
        and each.stat().st_atime_ns > each.stat().st_mtime_ns - int(EARLIER * 0.5e9)
        for each in every
    )


def where(said: str, *, innermost: bool = True) -> str:
    """The last frame of ours in a traceback, and what was raised."""
    block = said.rpartition("Traceback (most recent call last)")[2] if innermost else said
    frames = [(path, line, name) for path, line, name in FRAME.findall(block)] or re.findall(
        r'File "([^"]+)", line (\d+) in (\S+)', block
    )
    ours = [frame for frame in frames if "/lossatlas/" in frame[0]]
    if not frames:
        return ""
    path, line, name = (ours or frames)[-1 if innermost else 0]
    raised = next(
        (
            text
            for text in reversed(block.splitlines())
            if re.match(r"[\w.]+(Error|Exception|Exit|Interrupt|Warning|Error)?\b.*", text) and not text.startswith(" ")
        ),
        "",
    )
    return f"{path.rpartition('/src/')[2]}:{line} {name}: {general(raised) if innermost else 'hangs'}"


def general(text: str) -> str:
    """A line without what differs from one input to the next."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", text)
    text = re.sub(r"(/[^\s:;,)]+)+", "PATH", text)
    return re.sub(r"\d+", "N", text)[:160]
