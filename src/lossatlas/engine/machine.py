"""The name of the machine that plans are measured on."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch

__all__ = ["name_machine"]

UNITS = "avx2", "avx512f", "avx512_bf16", "amx_bf16"
"""CPU flags on which the speed of matrix products depends."""


def name_machine(device: torch.device) -> str:
    """Name a CPU or a GPU; a CPU with the vector and matrix units that torch uses.

    >>> name_machine(torch.device("cpu")) == name_machine(torch.device("cpu"))
    True
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    fields = dict(line.partition(":")[::2] for line in lines)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = fields.get("flags", "").split()
    capability = torch.backends.cpu.get_cpu_capability()  # a smaller one where ATEN_CPU_CAPABILITY says so
    used = {"AVX512": UNITS, "AVX2": UNITS[:1]}.get(capability, ())
    units = [unit for unit in used if unit in flags]
    return f"{fields.get('model name', platform.machine())} ({', '.join(units) or capability.lower()})"
