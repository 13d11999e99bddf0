"""Products in bfloat16, sums and everything delicate in the weights' own numbers: torch's autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from lossatlas.engine.precision import Precision, tensor_float

__all__ = ["Bf16"]


class Bf16(Precision):
    """Linear layers and convolutions in bfloat16 (8 bits of mantissa); torch decides which operations may.

    Any device can; those with matrix units for it (AMX, tensor cores) are faster than in 32 bits, others slower.
    What is given in 64 bits stays in 64 bits. A layer that is computed at the controls is in full precision.
    """

    def of_process(self) -> AbstractContextManager[object]:
        return tensor_float(False)

    def of_call(self, device: torch.device) -> AbstractContextManager[object]:
        # Casts are not kept: a weight is used once in a call, and a kept cast of a vectorised one would outlive it.
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)

    def check(self, device: torch.device) -> None:
        """Every device has them, some by emulation."""
