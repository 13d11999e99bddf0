"""How many requests to a file server pieces of work are: system calls that reach files, as ``strace`` counts them.

On a network file system each is a message to the server, or nearly so: clients answer some from their caches, which is
left out here, and send one more for each file that is closed, which is left out, too.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["count_requests", "mark", "trace"]

MARK = "/lossatlas-unit/"
"""The beginning of paths that do not exist, by which a trace is told where a piece of work begins and ends."""
CHANGING = {
    "creat", "flock", "fsync", "fdatasync", "ftruncate", "link", "linkat", "mkdir", "mkdirat", "pwrite64", "rename",
    "renameat", "renameat2", "rmdir", "symlink", "symlinkat", "truncate", "unlink", "unlinkat", "write", "writev",
}  # fmt: skip
READING = {
    "access", "faccessat", "faccessat2", "getdents64", "lstat", "newfstatat", "open", "openat", "pread64", "read",
    "readlink", "readlinkat", "stat", "statx",
}  # fmt: skip
CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
TRACING = ("strace", "-f", "--seccomp-bpf", "-y", "-s", "500", "-e", "trace=%file,%desc", "-o")


def mark(name: str, work: Callable[[int], object], times: int) -> None:
    """Do a piece of work some times, between marks that a trace shows."""
    with suppress(FileNotFoundError):
        Path(f"{MARK}{name}/{times}").stat()
    for number in range(times):
        work(number)
    with suppress(FileNotFoundError):
        Path(f"{MARK}{name}/0").stat()


def trace(command: list[str], folder: Path, *, whole: bool = False) -> dict[str, tuple[float, float]]:
    """Count the requests of each piece of work that a Python process marks; nothing where there is no ``strace``.

    Args:
        command: of Python; a new folder is added to it, unless it is traced as a whole.
        folder: where that folder is made. Requests to what is in it count, or to any file where all is traced.
        whole: whether the process is one piece of work, by the name ``whole``.
    """
    if shutil.which("strace") is None:
        print("strace is not installed: requests to a file server are not counted, and none are simulated")
        return {"whole": (0.0, 0.0)} if whole else {}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        log = Path(place) / "trace"
        subprocess.run([*TRACING, str(log), sys.executable, *command, *([] if whole else [place])], check=True)
        return count_requests(log.read_text(errors="replace").splitlines(), None if whole else place, str(log))


def count_requests(lines: list[str], place: str | None, log: str = "\n") -> dict[str, tuple[float, float]]:
    """Count the requests of each piece of work in a trace.

    Args:
        lines: of the trace.
        place: what a path has to contain; None counts every path, as one piece of work ``whole``.
        log: the path of the trace itself, which does not count.

    Returns:
        By name the requests that only read, and those that change something, each time the work was done.
    """
    counts: dict[str, list[int]] = {} if place is not None else {"whole": [0, 0]}
    repeats: dict[str, int] = {"whole": 1}
    unit = None if place is not None else "whole"
    for line in lines:
        if (found := CALL.match(line)) is None:
            continue
        call, rest = found.groups()
        if MARK in rest:
            name, times = rest.partition(MARK)[2].partition('"')[0].rsplit("/", 1)
            unit = name if int(times) else None
            if unit is not None:
                counts.setdefault(unit, [0, 0])
                repeats[unit] = int(times)
        elif unit is not None and (place is None or place in rest) and log not in rest:
            kind = _classify(call, rest)
            if kind is not None:
                counts[unit][kind] += 1
    return {name: (reads / repeats[name], writes / repeats[name]) for name, (reads, writes) in counts.items()}


def _classify(call: str, rest: str) -> int | None:
    """0 for a request that only reads, 1 for one that changes something, None for what stays with the client."""
    if "AT_EMPTY_PATH" in rest or (call in {"read", "pread64"} and rest.endswith("= 0")):
        return None
    if call.startswith("mkdir") and "EEXIST" in rest:  # the client has looked it up
        return 0
    if call in CHANGING or (call in {"open", "openat"} and "O_CREAT" in rest):
        return 1
    return 0 if call in READING else None
