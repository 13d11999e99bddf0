"""What the system refused to give: memory, threads, files. Recognised by the errors of those who asked for it."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from lossatlas.errors import format_error

__all__ = ["advise", "explain_shortage"]

MEMORY = "memory"
ADVICE = {
    MEMORY: (
        "lower --memory, --batch_size, --eval_batch_size, or the number of points or examples, or use a smaller model"
    ),
    "threads or processes": "lower OMP_NUM_THREADS, or raise the limit of processes (ulimit -u) or memory (ulimit -v)",
    "open files": "raise their limit (ulimit -n)",
}
"""What to do, by what ran out."""
NUMBERS = {
    errno.ENOMEM: MEMORY,
    errno.EAGAIN: "threads or processes",
    errno.EMFILE: "open files",
    errno.ENFILE: "open files",
}
SAYINGS = {
    "can't start new thread": "threads or processes",
    "resource temporarily unavailable": "threads or processes",
    "too many open files": "open files",
    "out of memory": MEMORY,
    "not enough memory": MEMORY,
    "allocate memory": MEMORY,
    "bad_alloc": MEMORY,
    "alloc_failed": MEMORY,
    "failed to map segment": MEMORY,
}
"""What libraries say whose errors have no kind of their own."""


def explain_shortage(error: BaseException) -> str | None:
    """What ran out and what to do, in one line; None where an error, and those that led to it, mean something else."""
    for each in _chain(error):
        if (lacking := _lacking(each)) is not None:
            return f"out of {lacking} ({format_error(each)}); {ADVICE[lacking]}"
    return None


def advise(error: BaseException) -> str:
    """What to do about the shortage that led to an error, after a semicolon; empty where none did or it says so."""
    lacking = next((found for each in _chain(error) if (found := _lacking(each)) is not None), None)
    if lacking is None or "--memory" in str(error) or "ulimit" in str(error):
        return ""
    return f"; {ADVICE[lacking]}"


def _lacking(error: BaseException) -> str | None:
    """What an error by itself says is missing."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return MEMORY
    if isinstance(error, OSError) and error.errno in NUMBERS:
        return NUMBERS[error.errno]
    if isinstance(error, RuntimeError | ImportError | OSError):
        said = format_error(error).casefold()
        return next((lacking for saying, lacking in SAYINGS.items() if saying in said), None)
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
