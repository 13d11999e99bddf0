"""How much memory is free."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import torch

__all__ = ["SHARE", "free_disk", "free_memory", "in_bytes"]

SHARE = 0.25
"""Of what is free, by default: others work on this machine, too."""
UNKNOWN = 2**32
"""Where nobody says how much is free."""


UNITS = {unit: 1000**power for power, unit in enumerate(("bytes", "kB", "MB", "GB", "TB", "PB", "EB"))}


def free_memory(device: torch.device) -> int:
    """Bytes that a device could still give; for the processor what its system and its container would."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    known = [number for number in (_available(), _left_to_the_group()) if number is not None]
    return min(known, default=_there())


def free_disk(place: Path) -> int | None:
    """Bytes that can still be written at a place, which need not be there yet; None where nobody says."""
    there = next((folder for folder in (place, *place.absolute().parents) if folder.exists()), Path())
    try:
        return shutil.disk_usage(there).free
    except OSError:
        return None


def in_bytes(count: float) -> str:
    """A number of bytes in the unit that people would use.

    >>> in_bytes(1536), in_bytes(5e15)
    ('1.54 kB', '5 PB')
    """
    unit = next((unit for unit in UNITS if count < 1000 * UNITS[unit]), "EB")
    return f"{count / UNITS[unit]:,.3g} {unit}"


def _available() -> int | None:
    """What Linux would give, files that it keeps in memory included; None elsewhere."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _there() -> int:
    """What the machine has, used or not, where its system says."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return UNKNOWN


def _left_to_the_group() -> int | None:
    """What a container may still take (cgroup v2); None where nothing limits it."""
    try:
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return None
    return max(0, int(limit) - int(used)) if limit.isdecimal() else None
