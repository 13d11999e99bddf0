"""How much memory and disk space is free."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lossatlas.files.room import free_room

if TYPE_CHECKING:
    import torch

__all__ = ["SHARE", "format_bytes", "free_disk", "free_memory"]

SHARE = 0.25
"""The share of free memory that is used by default: other processes run on the machine, too."""


UNITS = {unit: 1000**power for power, unit in enumerate(("bytes", "kB", "MB", "GB", "TB", "PB", "EB"))}


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on a device; on the CPU within the limits of system, container and process."""
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return free_room()


def free_disk(place: Path) -> int | None:
    """Bytes that can still be written at a path, which need not exist yet; None where the system does not say."""
    there = next((folder for folder in (place, *place.absolute().parents) if folder.exists()), Path())
    try:
        return shutil.disk_usage(there).free
    except OSError:
        return None


def format_bytes(count: float) -> str:
    """Write a number of bytes in a readable unit.

    >>> format_bytes(1536), format_bytes(5e15)
    ('1.54 kB', '5 PB')
    """
    unit = next((unit for unit in UNITS if count < 1000 * UNITS[unit]), "EB")
    return f"{count / UNITS[unit]:,.3g} {unit}"
