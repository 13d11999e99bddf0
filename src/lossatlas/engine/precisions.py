"""Precisions: the formats of numbers in which networks are evaluated. Weights, losses and gradients keep theirs.

A precision belongs to a network, not to a strategy: ``Network.at("bf16")`` is the same function under autocast, so
that each strategy supports each precision. Second derivatives are always computed in the format of the weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.registry import Variants

__all__ = ["AUTO", "PRECISIONS", "Bf16", "Fp32", "Precision", "Tf32", "allow_tensor_float", "check_precision"]

AUTO = "auto"
"""As a name: the precision that is measured to be the fastest and accurate enough."""
AMPERE = (8, 0)


class Precision(ABC):
    """The format in which matrix products and convolutions of a network are computed."""

    def of_process(self) -> AbstractContextManager[object]:
        """A context for the work of a strategy, forward and backward, with effect on all threads of the process."""
        return allow_tensor_float(False)

    def of_call(self, device: torch.device) -> AbstractContextManager[object]:
        """A context for a call of a network, with effect on the calling thread."""
        return nullcontext()

    @abstractmethod
    def check(self, device: torch.device) -> None:
        """Refuse a device that does not support the precision.

        Raises:
            BadInput: the device does not support it.
        """


class Fp32(Precision):
    """The format of the weights: 32 bits, or 64 if the chart is in double precision."""

    def check(self, device: torch.device) -> None:
        """Do nothing, since every device supports it."""


class Tf32(Precision):
    """Products of 32-bit numbers with inputs rounded to TensorFloat-32, on NVIDIA GPUs from Ampere on."""

    def of_process(self) -> AbstractContextManager[object]:
        return allow_tensor_float(True)

    def check(self, device: torch.device) -> None:
        if device.type != "cuda" or torch.cuda.get_device_capability(device) < AMPERE:
            raise BadInput(f"TF32 is for NVIDIA GPUs from Ampere on, this is {device.type}; use fp32 or bf16")


class Bf16(Precision):
    """Linear layers and convolutions in bfloat16 (8 bits of mantissa); torch's autocast decides which operations may.

    Every device supports it; those with matrix units for it (AMX, tensor cores) are faster than in 32 bits, others
    slower. Sums and other sensitive operations stay in the format of the weights, and 64-bit numbers stay as they are.
    Layers that are computed at the controls are in full precision.
    """

    def of_call(self, device: torch.device) -> AbstractContextManager[object]:
        # Casts are not kept: a weight is used once in a call, and a kept cast of a vectorised one would outlive it.
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)

    def check(self, device: torch.device) -> None:
        """Do nothing, since every device supports it, some by emulation."""


PRECISIONS: Variants[type[Precision]] = Variants("precision", {"bf16": Bf16, "fp32": Fp32, "tf32": Tf32})


def check_precision(name: str) -> None:
    """Refuse a text that is neither the name of a precision nor ``auto``.

    Raises:
        BadInput: it is neither.
    """
    if name != AUTO and name not in PRECISIONS:
        raise make_unknown_error("precision", name, [AUTO, *PRECISIONS])


@contextmanager
def allow_tensor_float(allowed: bool) -> Iterator[None]:
    """Allow or forbid that products of 32-bit numbers round their inputs to 10 bits of mantissa on GPUs.

    Set in both cases, because torch's default allows it for convolutions and forbids it for matrix products.
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    try:
        products.allow_tf32 = convolutions.allow_tf32 = allowed
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
