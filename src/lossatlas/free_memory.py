"""How much memory is free."""

from __future__ import annotations

import re
from pathlib import Path

import torch

__all__ = ["SHARE", "free_memory"]

SHARE = 0.25
"""Of what is free, by default: others work on this machine, too."""
UNKNOWN = 2**32
"""Where nobody says how much is free."""


def free_memory(device: torch.device) -> int:
    """Bytes that a device could still give; for the processor what its system and its container would."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    known = [number for number in (_available(), _left_to_the_group()) if number is not None]
    return min(known, default=UNKNOWN)


def _available() -> int | None:
    """What Linux would give, files that it keeps in memory included; None elsewhere."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _left_to_the_group() -> int | None:
    """What a container may still take (cgroup v2); None where nothing limits it."""
    try:
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return None
    return max(0, int(limit) - int(used)) if limit.isdecimal() else None
