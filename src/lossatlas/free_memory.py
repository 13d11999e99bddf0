"""How much memory and disk space is free."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lossatlas.files.room import free_room

if TYPE_CHECKING:
    import torch

__all__ = ["SHARE", "free_disk", "free_memory", "share_memory"]

SHARE = 0.25
"""The share of free memory that is used by default: other processes run on the machine, too."""


_sharers = 1
"""How many processes of one command want the free memory."""


def share_memory(count: int) -> int:
    """Have :func:`free_memory` return this process's part where several of one command want the free memory.

    Args:
        count: the number of processes that do.

    Returns:
        The number before.
    """
    global _sharers
    before, _sharers = _sharers, count
    return before


def free_memory(device: torch.device) -> int:
    """Bytes that this process can still allocate on a device; on the CPU within limits of system, container, process.

    >>> import torch
    >>> alone, _ = free_memory(torch.device("cpu")), share_memory(4)
    >>> 0.2 < free_memory(torch.device("cpu")) / alone < 0.3, share_memory(1)
    (True, 4)
    """
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free) // _sharers
    return free_room() // _sharers


def free_disk(place: Path) -> int | None:
    """Bytes that can still be written at a path, which need not exist yet; None where the system does not say."""
    there = next((folder for folder in (place, *place.absolute().parents) if folder.exists()), Path())
    try:
        return shutil.disk_usage(there).free
    except OSError:
        return None
