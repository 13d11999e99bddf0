"""Command lines and other work in forks of this process, within bounds of time and memory."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ended", "Surroundings", "command_line", "forked"]

MEMORY = 6 * 2**30
"""Bytes of addresses that a child may take."""
FILE = 2 * 2**30
"""Bytes of a file that a child may write."""
PATIENCE = 60.0
"""Seconds of computing after which a child hangs."""
IDLE = 10.0
"""Seconds without any computing after which a child hangs: it waits for something that will never arrive."""
ASKED = 4.0
"""Seconds of computing after which a command line is asked to stop: to take long is not a fault."""
TICK = os.sysconf("SC_CLK_TCK")
CAPABILITIES = 0x20080522
"""The version of how Linux is told what a process may do."""
TRACEBACK = 1


@dataclass(frozen=True)
class Surroundings:
    """What a command line is run in."""

    variables: Mapping[str, str] | None = None
    stdout: str | None = None
    """A file to write to, such as /dev/full; "closed"; None: one that can be written."""
    unprivileged: bool = False
    """Whether the child lacks the capabilities by which the superuser may read every file."""


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    code: int | None
    """Its exit code; None where a signal ended it."""
    signal: int
    """Which; 0 where none did."""
    asked: bool
    """Whether it was asked to stop."""
    hung: bool
    """Whether it did not end, and was ended."""
    errors: str
    """What it wrote to standard error."""


def command_line(
    argv: Sequence[str],
    folder: Path,
    scratch: Path,
    surroundings: Surroundings | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> Ended:
    """What a command line of lossatlas comes to, as a process of its own.

    Args:
        argv: after the name of the program.
        folder: to work in.
        scratch: a folder for what it says.
        surroundings: to run it in.
        prepare: called before.
    """
    around = surroundings or Surroundings()

    def work() -> int:
        from lossatlas.cli import main

        os.environ.update(around.variables or {})
        os.chdir(folder)
        if around.stdout == "closed":
            os.close(1)
        elif around.stdout is not None:
            os.dup2(os.open(around.stdout, os.O_WRONLY), 1)
        if around.unprivileged:
            _drop_privileges()
        prepare()
        sys.argv = ["lossatlas", *argv]
        code = main()
        sys.stdout.flush()
        return code

    return forked(work, scratch, ask=True)


def forked(work: Callable[[], int], scratch: Path, *, ask: bool = False, patience: float = PATIENCE) -> Ended:
    """What becomes of a fork of this process that does some work and ends with the exit code that this returns.

    Args:
        work: in the child.
        scratch: a folder for what the child says.
        ask: it to stop, once it has computed for a while.
        patience: seconds of computing after which it hangs.
    """
    errors = scratch / "errors"
    pid = os.fork()
    if not pid:
        _child(work, errors)
    status, asked, hung = _waited(pid, ASKED if ask else float("inf"), patience)
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    said = errors.read_text(errors="surrogateescape") if errors.is_file() else ""
    return Ended(None if number else os.WEXITSTATUS(status), 0 if hung else number, asked, hung, said)


def _child(work: Callable[[], int], errors: Path) -> None:
    code = TRACEBACK
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.register(signal.SIGUSR1)
        if warnings.filters and warnings.filters[0][:3] == ("error", None, Warning):  # the tests' own
            warnings.filters.pop(0)  # type: ignore[attr-defined]
            warnings._filters_mutated()  # type: ignore[attr-defined]
        code = work()
    except BaseException as error:  # a command line that ends so shows a traceback
        if isinstance(error, SystemExit):
            print(f"SystemExit: {error.code!r}", file=sys.stderr)
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _drop_privileges() -> None:
    """Make permissions mean something for the superuser too."""
    nothing = (ctypes.c_uint32 * 6)()
    ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(CAPABILITIES, 0), nothing)


def _waited(pid: int, asking: float, patience: float) -> tuple[int, bool, bool]:
    """The status of a child, whether it was asked to stop, and whether it hung."""
    asked = hung = False
    used, moved, pause = 0.0, time.monotonic(), 0.001
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status, asked, hung
        time.sleep(pause)
        pause = min(pause * 1.3, 0.1)
        if pause < 0.05:
            continue
        now, cpu = time.monotonic(), _computed(pid)
        used, moved = cpu, now if cpu > used else moved
        if not asked and used > asking:
            asked = True
            os.kill(pid, signal.SIGTERM)
        if not hung and (used > patience or now - moved > IDLE):
            hung = True
            os.kill(pid, signal.SIGUSR1)  # says where
            time.sleep(0.2)
            os.killpg(pid, signal.SIGKILL)


def _computed(pid: int) -> float:
    """Seconds of processor that a child has taken."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK
