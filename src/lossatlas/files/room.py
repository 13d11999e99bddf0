"""The free memory, which bounds the size of what is read from files."""

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
"""The free memory that is assumed if the system does not tell it."""


def free_room() -> int:
    """Return the bytes of memory that system, container and process limits still allow."""
    known = [number for number in (_available(), _left_to_the_group(), find_process_room()) if number is not None]
    return min(known, default=_there())


def _available() -> int | None:
    """Return the available memory of Linux, including reclaimable caches; None on other systems."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", read_text("/proc/meminfo"))
    except Unreadable:
        return None
    return int(found[1]) * 1024 if found else None


def _there() -> int:
    """Return the total memory of the machine, if the system tells it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return UNKNOWN


def _left_to_the_group() -> int | None:
    """Return the memory that a container may still take (cgroup v2); None without a limit."""
    try:
        limit, used = (read_text(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    except Unreadable:
        return None
    return max(0, int(limit) - int(used)) if limit.isdecimal() else None


def find_process_room() -> int | None:
    """Return the bytes that the limits of address space and data still allow this process; None without limits."""
    if resource is None:
        return None
    # The total pages and the pages of data are the first and the sixth entry of the file.
    limits = {0: resource.getrlimit(resource.RLIMIT_AS)[0], 5: resource.getrlimit(resource.RLIMIT_DATA)[0]}
    limited = {place: limit for place, limit in limits.items() if limit != resource.RLIM_INFINITY}
    try:
        pages = read_text("/proc/self/statm").split() if limited else []
    except Unreadable:  # another system, which does not tell the used memory
        return None
    left = (limit - int(pages[place]) * resource.getpagesize() for place, limit in limited.items())
    return max(0, min(left)) if limited else None
