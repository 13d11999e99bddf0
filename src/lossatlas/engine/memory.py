"""Memory: how many bytes a chunk of points may take."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch

from lossatlas.engine.footprint import Limit
from lossatlas.errors import BadInput

__all__ = ["chunk_that_fits", "memory_limit", "memory_limits"]

SHARE = 0.25
"""Of what is free, by default: others work on this machine, too."""
LARGEST_SHARE = 0.75
"""Of what is free, for what cannot be divided."""
UNKNOWN = 2**30
"""Where nobody says how much is free."""
LEAST = 2**28
"""By default a chunk may always take so much: files that the system keeps in memory make room."""
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def memory_limit(spec: str, device: torch.device) -> int:
    """Bytes that a chunk of points may take.

    Args:
        spec: ``auto`` for a quarter of what is free on the device, 256 MiB at least; or a number of bytes with or
            without a unit, such as ``500MB`` or ``2GiB``.
        device: where the points are evaluated.

    Raises:
        BadInput: the text is neither.

    >>> memory_limit("1.5 GiB", torch.device("cpu"))
    1610612736
    """
    if spec == "auto":
        return max(LEAST, int(SHARE * _free(device)))
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?b?\s*", spec.lower())
    if match is None or not float(match[1]):
        raise BadInput(f"memory is {spec!r}; expected auto, or a positive number of bytes such as 500MB or 2GiB")
    return int(float(match[1]) * UNITS[match[2] or ""])


def memory_limits(spec: str, device: torch.device) -> Limit:
    """Bytes that a chunk of points may take, and a single point that cannot be divided.

    Both are the number that is stated. By default the latter may take more of what is free than the former: rather than
    be refused on a machine that has room for it.

    Raises:
        BadInput: as :func:`memory_limit`.
    """
    usual = memory_limit(spec, device)
    return Limit(usual, max(usual, int(LARGEST_SHARE * _free(device))) if spec == "auto" else usual)


def chunk_that_fits(run: Callable[[int], object], points: int) -> int:
    """The largest of ``points``, its half, its quarter, ... that a run does not run out of memory with.

    Raises:
        BadInput: not even one point fits.
    """
    while True:
        try:
            run(points)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if points == 1:
                raise BadInput("one point does not fit into the device's memory; use a smaller --batch_size, "
                               "--group or model") from error  # fmt: skip
            points //= 2
        else:
            return points


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    known = [number for number in (_available(), _left_to_the_group()) if number is not None]
    return min(known, default=int(UNKNOWN / SHARE))


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
