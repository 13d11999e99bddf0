"""Settings of a process that computes: of the command line's own and of its workers, never of importing the library."""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["settle_process"]

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def settle_process() -> None:
    """Prepare the process for many small tensor operations; call before torch is imported.

    Busy waiting makes loops of small operations up to thirty times slower when another process wants the same cores.
    And activations come and go with every call: glibc would hand each back to the system and have it faulted in again,
    page by page, and does so whatever its thresholds where one has more than 32 MiB, or where another thread than the
    first asks for it. That took up to two thirds of the time of large convolutions
    (``docs/reports/performance.md``). Here it keeps them, in one place for all threads.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ["MPLBACKEND"] = "agg"  # whatever it was: pictures are files here, and not all that it may be is a name
    if sys.platform == "linux":
        allocator = ctypes.CDLL(None)
        if hasattr(allocator, "mallopt"):  # other C libraries have no such switch
            allocator.mallopt(M_MMAP_MAX, 0)
            allocator.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
            allocator.mallopt(M_ARENA_MAX, 1)  # of any other arena nothing is kept, and it reserves 128 MiB
