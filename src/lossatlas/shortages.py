"""What the system refused to give: memory, threads, files. Recognised by the errors of those who asked for it."""

from __future__ import annotations

import errno

from lossatlas.errors import format_error, trace_causes

__all__ = ["FILES", "MEMORY", "PROCESSES", "find_shortage"]

MEMORY, PROCESSES, FILES = "memory", "threads or processes", "open files"
"""What can run out."""
NUMBERS = {
    errno.ENOMEM: MEMORY,
    errno.EAGAIN: PROCESSES,
    errno.EMFILE: FILES,
    errno.ENFILE: FILES,
}
SAYINGS = {
    "can't start new thread": PROCESSES,
    "resource temporarily unavailable": PROCESSES,
    "too many open files": FILES,
    "out of memory": MEMORY,
    "not enough memory": MEMORY,
    "allocate memory": MEMORY,
    "bad_alloc": MEMORY,
    "alloc_failed": MEMORY,
    "failed to map segment": MEMORY,
}
"""What libraries say whose errors have no kind of their own."""


def find_shortage(error: BaseException) -> tuple[str, BaseException] | None:
    """Find what ran out, and the error that says so among one and those that led to it; None if they mean other things.

    >>> find_shortage(RuntimeError("CUDA error: out of memory"))
    ('memory', RuntimeError('CUDA error: out of memory'))
    """
    found = ((_find_lack(each), each) for each in trace_causes(error))
    return next(((lack, each) for lack, each in found if lack is not None), None)


def _find_lack(error: BaseException) -> str | None:
    """What an error by itself says is missing."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return MEMORY
    if isinstance(error, OSError) and error.errno in NUMBERS:
        return NUMBERS[error.errno]
    if isinstance(error, RuntimeError | ImportError | OSError):
        said = format_error(error).casefold()
        return next((lacking for saying, lacking in SAYINGS.items() if saying in said), None)
    return None
