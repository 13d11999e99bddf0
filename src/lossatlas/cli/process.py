"""Settings of the process: the command line's business, never that of importing the library."""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["settle"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MMAP_THRESHOLD = 2**25
"""The largest that glibc takes."""


def settle() -> None:
    """Prepare the process for many small tensor operations; call before torch is imported.

    Busy waiting makes loops of small operations up to thirty times slower when another process wants the same cores.
    And activations of a few megabytes come and go with every step: glibc would hand each back to the system and have
    it faulted in again, which took a third of the time of a step where page faults are slow; here it keeps them.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("MPLBACKEND", "agg")
    if sys.platform == "linux":
        allocator = ctypes.CDLL(None)
        if hasattr(allocator, "mallopt"):  # other C libraries have no such switch
            allocator.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
            allocator.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    sys.path.insert(0, "")  # module:callable is looked up in the working folder, as Python does for scripts
