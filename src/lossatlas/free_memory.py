"""How much memory is free."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import resource
except ImportError:  # a system without such limits
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import torch

__all__ = ["SHARE", "free_memory", "left_to_the_process"]

SHARE = 0.25
"""Of what is free, by default: others work on this machine, too."""
UNKNOWN = 2**32
"""Where nobody says how much is free."""


def free_memory(device: torch.device) -> int:
    """Bytes that a device could still give; for the processor what its system, its container and its limits would."""
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    known = [number for number in (_available(), _left_to_the_group(), left_to_the_process()) if number is not None]
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


def left_to_the_process() -> int | None:
    """Bytes that this process may still take by the limits of its address space and data; None where none is set."""
    if resource is None:
        return None
    # Pages in all and pages of data, by their places in the file.
    limits = {0: resource.getrlimit(resource.RLIMIT_AS)[0], 5: resource.getrlimit(resource.RLIMIT_DATA)[0]}
    limited = {place: limit for place, limit in limits.items() if limit != resource.RLIM_INFINITY}
    try:
        pages = Path("/proc/self/statm").read_text().split() if limited else []
    except OSError:  # another system: nobody says what is used
        return None
    left = (limit - int(pages[place]) * resource.getpagesize() for place, limit in limited.items())
    return max(0, min(left)) if limited else None
