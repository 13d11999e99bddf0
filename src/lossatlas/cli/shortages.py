"""What to do about what the system refused to give."""

from __future__ import annotations

from lossatlas.errors import format_error
from lossatlas.shortages import FILES, MEMORY, PROCESSES, find_shortage

__all__ = ["advise", "explain_shortage"]

ADVICE = {
    MEMORY: (
        "lower --memory, --batch_size, --eval_batch_size, or the number of points or examples, or use a smaller model"
    ),
    PROCESSES: "lower OMP_NUM_THREADS, or raise the limit of processes (ulimit -u) or memory (ulimit -v)",
    FILES: "raise their limit (ulimit -n)",
}
"""What to do, by what ran out."""


def explain_shortage(error: BaseException) -> str | None:
    """What ran out and what to do, in one line; None where an error, and those that led to it, mean something else."""
    if (found := find_shortage(error)) is None:
        return None
    lacking, said = found
    return f"out of {lacking} ({format_error(said)}); {ADVICE[lacking]}"


def advise(error: BaseException) -> str:
    """What to do about the shortage that led to an error, after a semicolon; empty where none did or it says so."""
    found = find_shortage(error)
    if found is None or "--memory" in str(error) or "ulimit" in str(error):
        return ""
    return f"; {ADVICE[found[0]]}"
