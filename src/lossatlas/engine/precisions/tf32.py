"""Products of 32-bit numbers with 10 bits of mantissa, on GPUs that have them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from lossatlas.engine.precision import Precision, tensor_float
from lossatlas.errors import BadInput

__all__ = ["Tf32"]

AMPERE = (8, 0)


class Tf32(Precision):
    """Inputs of products are rounded to TensorFloat-32, on NVIDIA GPUs from Ampere on."""

    def of_process(self) -> AbstractContextManager[object]:
        return tensor_float(True)

    def of_call(self, device: torch.device) -> AbstractContextManager[object]:
        return nullcontext()

    def check(self, device: torch.device) -> None:
        if device.type != "cuda" or torch.cuda.get_device_capability(device) < AMPERE:
            raise BadInput(f"TF32 is for NVIDIA GPUs from Ampere on, this is {device.type}; use fp32 or bf16")
