"""Settings of the process: the command line's business, never that of importing the library."""

from __future__ import annotations

import os
import sys
import threading

from lossatlas.errors import BadInput
from lossatlas.files.room import find_process_room
from lossatlas.settling import settle_process

__all__ = ["LIBRARIES", "RUN", "check_folder", "check_limits", "check_threads", "settle"]

LIBRARIES = 2**30
"""Bytes of address space that the libraries below the command line take; with less, some abort or wait for ever."""
RUN = 2**29
"""Bytes that the smallest run takes beside them."""


def settle() -> None:
    """Prepare the process for what the verbs do; call before torch is imported."""
    settle_process()
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
