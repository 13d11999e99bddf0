"""The name of the machine that plans are measured on, and that points are evaluated on."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["name_machine"]

UNITS = "avx2", "avx512f", "avx512_bf16", "amx_bf16"
"""CPU flags on which the speed of matrix products depends."""


def name_machine(device: torch.device | str) -> str:
    """Name a CPU or a GPU; a CPU with the vector and matrix units that torch uses.

    Two of one name give the same numbers, bit for bit, under one plan.

    Args:
        device: a device, or its name, such as ``cuda:0``.

    >>> name_machine("cpu") == name_machine("cpu")
    True
    """
    import torch  # late, because the command line reads modules that name machines before it needs torch

    if str(device).startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return _processor(torch.backends.cpu.get_cpu_capability())  # a smaller one where ATEN_CPU_CAPABILITY says so


@cache
def _processor(capability: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    fields = dict(line.partition(":")[::2] for line in lines)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = fields.get("flags", "").split()
    used = {"AVX512": UNITS, "AVX2": UNITS[:1]}.get(capability, ())
    units = [unit for unit in used if unit in flags]
    return f"{fields.get('model name', platform.machine())} ({', '.join(units) or capability.lower()})"
