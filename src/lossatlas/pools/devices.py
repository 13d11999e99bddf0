"""Devices of workers: which GPUs there are, and kinds of devices that results depend on."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

__all__ = ["VISIBLE", "list_gpus", "name_device_kind"]

UNITS = "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "sve", "bf16"
"""CPU flags by which numerical libraries choose between their implementations."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable that tells a process which GPUs it may use."""


def name_device_kind(device: str = "cpu") -> str:
    """Name the kind of a device of this process: two of one kind give the same numbers, bit for bit, under one plan.

    For a CPU these are the vendor and the vector units, by which torch and the libraries below it choose among their
    implementations; for a GPU it is the card.

    Args:
        device: a device as torch writes it, such as ``cpu`` or ``cuda:0``.

    >>> name_device_kind("cpu") == name_device_kind("cpu")
    True
    """
    import torch

    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    return _name_cpu(torch.backends.cpu.get_cpu_capability()) if device.startswith("cpu") else device


@cache
def _name_cpu(capability: str) -> str:
    """Name the CPU; ``capability`` is torch's, which ATEN_CPU_CAPABILITY lowers."""
    parts = [platform.machine()]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if vendor := fields.get("vendor_id") or fields.get("CPU implementer"):
        parts.append(vendor)
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    units = [unit for unit in UNITS if unit in flags]
    return ", ".join(["cpu", " ".join(parts), capability, *([" ".join(units)] if units else [])])


def list_gpus() -> list[str]:
    """List the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them to a process that it starts."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    stated = [each.strip() for each in os.environ.get(VISIBLE, "").split(",") if each.strip()]
    return stated[:count] if stated else [str(number) for number in range(count)]
