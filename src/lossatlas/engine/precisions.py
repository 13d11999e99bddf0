"""Precisions: in which numbers networks are evaluated. Weights, losses and gradients stay what they are.

They are the network's business, not a strategy's: ``Network.at("bf16")`` is the same function under autocast, so that
every strategy has every precision. What derives from Hessians stays in the weights' own numbers.
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
"""In the place of a name: the one that is measured to pay."""
AMPERE = (8, 0)


class Precision(ABC):
    """The numbers that a network's products are formed in."""

    def of_process(self) -> AbstractContextManager[object]:
        """In force while a strategy works, forwards and backwards, for all threads of the process."""
        return allow_tensor_float(False)

    def of_call(self, device: torch.device) -> AbstractContextManager[object]:
        """In force while a network is called, in the thread that calls it."""
        return nullcontext()

    @abstractmethod
    def check(self, device: torch.device) -> None:
        """Refuse a device that has no such numbers.

        Raises:
            BadInput: it has none.
        """


class Fp32(Precision):
    """The weights' own numbers: 32 bits, or 64 where a chart is in doubles."""

    def check(self, device: torch.device) -> None:
        """Every device has them."""


class Tf32(Precision):
    """Products of 32-bit numbers whose inputs are rounded to TensorFloat-32, on NVIDIA GPUs from Ampere on."""

    def of_process(self) -> AbstractContextManager[object]:
        return allow_tensor_float(True)

    def check(self, device: torch.device) -> None:
        if device.type != "cuda" or torch.cuda.get_device_capability(device) < AMPERE:
            raise BadInput(f"TF32 is for NVIDIA GPUs from Ampere on, this is {device.type}; use fp32 or bf16")


class Bf16(Precision):
    """Linear layers and convolutions in bfloat16 (8 bits of mantissa); torch's autocast decides which operations may.

    Any device can; those with matrix units for it (AMX, tensor cores) are faster than in 32 bits, others slower. Sums
    and everything delicate stay in the weights' own numbers, and what is given in 64 bits stays in 64 bits. A layer
    that is computed at the controls is in full precision.
    """

    def of_call(self, device: torch.device) -> AbstractContextManager[object]:
        # Casts are not kept: a weight is used once in a call, and a kept cast of a vectorised one would outlive it.
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)

    def check(self, device: torch.device) -> None:
        """Every device has them, some by emulation."""


PRECISIONS: Variants[type[Precision]] = Variants("precision", {"bf16": Bf16, "fp32": Fp32, "tf32": Tf32})


def check_precision(name: str) -> None:
    """Refuse what is not the name of a precision, nor ``auto``.

    Raises:
        BadInput: it is neither.
    """
    if name != AUTO and name not in PRECISIONS:
        raise make_unknown_error("precision", name, [AUTO, *PRECISIONS])


@contextmanager
def allow_tensor_float(allowed: bool) -> Iterator[None]:
    """Let products of 32-bit numbers round their inputs to 10 bits of mantissa on GPUs that can, or forbid it.

    Stated either way: torch's own default differs between convolutions (which may) and matrix products (which may not).
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    try:
        products.allow_tf32 = convolutions.allow_tf32 = allowed
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
