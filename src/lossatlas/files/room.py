"""How much memory the system would give, which bounds what a file may ask for."""

from __future__ import annotations

import os
import re

try:
    import resource
except ImportError:  # a system without such limits
    resource = None  # type: ignore[assignment]

from lossatlas.files.reading import Unreadable, read_text

__all__ = ["find_process_room", "free_room"]

UNKNOWN = 2**32
"""Where nobody says how much is free."""


def free_room() -> int:
    """Bytes of memory that the system, the container and the limits of this process could still give."""
    known = [number for number in (_available(), _left_to_the_group(), find_process_room()) if number is not None]
    return min(known, default=_there())


def _available() -> int | None:
    """What Linux would give, files that it keeps in memory included; None elsewhere."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", read_text("/proc/meminfo"))
    except Unreadable:
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
        limit, used = (read_text(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    except Unreadable:
        return None
    return max(0, int(limit) - int(used)) if limit.isdecimal() else None


def find_process_room() -> int | None:
    """Bytes that this process may still take by the limits of its address space and data; None where none is set."""
    if resource is None:
        return None
    # Pages in all and pages of data, by their places in the file.
    limits = {0: resource.getrlimit(resource.RLIMIT_AS)[0], 5: resource.getrlimit(resource.RLIMIT_DATA)[0]}
    limited = {place: limit for place, limit in limits.items() if limit != resource.RLIM_INFINITY}
    try:
        pages = read_text("/proc/self/statm").split() if limited else []
    except Unreadable:  # another system: nobody says what is used
        return None
    left = (limit - int(pages[place]) * resource.getpagesize() for place, limit in limited.items())
    return max(0, min(left)) if limited else None
