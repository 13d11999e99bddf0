"""What the weights are stored in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from lossatlas.engine.precision import Precision, tensor_float

__all__ = ["Fp32"]


class Fp32(Precision):
    """The weights' own numbers: 32 bits, or 64 where a chart is in doubles."""

    def of_process(self) -> AbstractContextManager[object]:
        return tensor_float(False)

    def of_call(self, device: torch.device) -> AbstractContextManager[object]:
        return nullcontext()

    def check(self, device: torch.device) -> None:
        """Every device has them."""
