"""Settings of the process: the command line's business, never that of importing the library."""

from __future__ import annotations

import ctypes
import os
import sys
import threading

from lossatlas.errors import BadInput
from lossatlas.files.room import find_process_room

__all__ = ["LIBRARIES", "RUN", "check_folder", "check_limits", "check_threads", "settle"]

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
LIBRARIES = 2**30
"""Bytes of address space that the libraries below the command line take; with less, some abort or wait for ever."""
RUN = 2**29
"""Bytes that the smallest run takes beside them."""


def settle() -> None:
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
    sys.path.insert(0, "")  # module:callable is looked up in the working folder, as Python does for scripts


def check_limits(need: int) -> None:
    """Refuse to begin with what the limits of the process leave no room for.

    Args:
        need: bytes that it takes at least.

    Raises:
        BadInput: they leave less.
    """
    left = find_process_room()
    if left is not None and left < need:
        raise BadInput(
            f"limits of the process (ulimit -v, ulimit -d) leave it {left / 2**20:,.0f} MiB; expected at least "
            f"{need / 2**20:,.0f} MiB; raise them"
        )


def check_folder() -> None:
    """Refuse to begin in a folder that is not there any more: some libraries below end the process over that.

    Raises:
        BadInput: the working folder was removed, or may not be looked at.
    """
    try:
        os.getcwd()  # noqa: PTH109 (Path.cwd says nothing else)
    except OSError as error:
        raise BadInput(f"the working folder cannot be used ({error.strerror}); change to another one (cd)") from error


def check_threads() -> None:
    """Refuse to begin where the system lets the process start fewer threads than its libraries will.

    Some of them end the process, or wait for ever, where one cannot be started; so as many are started here.

    Raises:
        BadInput: it does.
    """
    cores = os.cpu_count() or 1
    stated = os.environ.get("OMP_NUM_THREADS", "")
    # Two libraries have a pool each, one thread of which is there; zarr has one of its own, and others a few.
    need = 2 * ((min(int(stated), 1024) if stated.isdecimal() else cores) - 1) + min(32, cores + 4) + 4
    end = threading.Event()
    threads = [threading.Thread(target=end.wait) for _ in range(need)]
    started = 0
    try:
        for thread in threads:
            thread.start()
            started += 1
    except RuntimeError as error:
        raise BadInput(
            f"the system lets this process start {started} threads, and it needs {need}; lower OMP_NUM_THREADS, or "
            "raise the limits of processes (ulimit -u) and memory (ulimit -v)"
        ) from error
    finally:
        end.set()
        for thread in threads[:started]:
            thread.join()
