"""The number of bytes that a chunk of points may take."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable

import torch

from lossatlas.engine.footprint import Limit
from lossatlas.errors import BadInput
from lossatlas.free_memory import SHARE, free_memory

__all__ = ["find_fitting_chunk", "find_memory_limit", "find_memory_limits", "release_memory"]

LARGEST_SHARE = 0.75
"""The share of free memory that an indivisible point may take."""
LEAST = 2**28
"""The least default for a chunk in bytes, since the system can free its file cache."""
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def find_memory_limit(spec: str, device: torch.device) -> int:
    """Find how many bytes a chunk of points may take.

    Args:
        spec: ``auto`` for a quarter of the free memory of the device, but at least 256 MiB; or a number of bytes with
            or without a unit, such as ``500MB`` or ``2GiB``.
        device: where the points are evaluated.

    Raises:
        BadInput: the text is neither.

    >>> find_memory_limit("1.5 GiB", torch.device("cpu"))
    1610612736
    """
    if spec == "auto":
        return max(LEAST, int(SHARE * free_memory(device)))
    match = re.fullmatch(r"\s*([0-9]{1,18}(?:\.[0-9]+)?)\s*([kmg]i?)?b?\s*", spec.lower())
    size = int(float(match[1]) * UNITS[match[2] or ""]) if match is not None else 0
    if not size:
        raise BadInput(f"memory is {spec!r}; expected auto, or a positive number of bytes such as 500MB or 2GiB")
    return size


def find_memory_limits(spec: str, device: torch.device) -> Limit:
    """Find how many bytes a chunk of points may take, and how many a single indivisible point.

    Both are the number that is given. By default a single point may take a larger share of the free memory, so that it
    is not refused unnecessarily.

    Raises:
        BadInput: as :func:`find_memory_limit`.
    """
    usual = find_memory_limit(spec, device)
    return Limit(usual, max(usual, int(LARGEST_SHARE * free_memory(device))) if spec == "auto" else usual)


def find_fitting_chunk(run: Callable[[int], object], points: int) -> int:
    """Find the largest of ``points``, its half, its quarter, ... with which a run does not run out of memory.

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
                               "--eval_batch_size or model") from error  # fmt: skip
            points //= 2
        else:
            return points


def release_memory(device: torch.device) -> None:
    """Give the system back what torch keeps of a device's memory without using it."""
    gc.collect()  # the frames of an error that was raised hold tensors in cycles
    if device.type == "cuda":
        torch.cuda.empty_cache()
