"""Products of 32-bit numbers with 10 bits of mantissa, on GPUs that have them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from lossatlas.engine.precision import Precision
from lossatlas.errors import BadInput

__all__ = ["Tf32"]

AMPERE = (8, 0)


class Tf32(Precision):
    """Inputs of products are rounded to TensorFloat-32, on NVIDIA GPUs from Ampere on."""

    def entered(self, device: torch.device) -> AbstractContextManager[object]:
        return _allowed()

    def check(self, device: torch.device) -> None:
        if device.type != "cuda" or torch.cuda.get_device_capability(device) < AMPERE:
            raise BadInput(f"TF32 is for NVIDIA GPUs from Ampere on, this is {device.type}; use fp32 or bf16")


@contextmanager
def _allowed() -> Iterator[None]:
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    try:
        products.allow_tf32 = convolutions.allow_tf32 = True
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
